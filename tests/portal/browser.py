"""Chromium over WebDriver, and the server under test, with nothing but the standard library."""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request

PATIENCE = 60
GONE = (
    '"no such element"',
    '"stale element reference"',
    "Inspected target navigated",
    "Cannot find context",
    "context was destroyed",
    "does not belong to the document",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Space": " ", "Down": "\ue015"}


class Gone(Exception):
    """A page went away while it was being looked at: the browser is on its way to the next one."""


def request(method, url, body=None):
    data = json.dumps(body).encode() if body is not None else None
    ask = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(ask, timeout=PATIENCE) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        if any(code in text for code in GONE):
            raise Gone(text) from None
        raise AssertionError(f"{method} {url}: {error.code} {text}") from None


def until(what, ask):
    """Asks until the answer is true; pages may go away meanwhile."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            answer = ask()
        except Gone:
            answer = None
        if answer:
            return answer
        assert time.monotonic() < end, f"in vain: {what()}"
        time.sleep(0.05)


class Server:
    """A server without keys on a data directory of its own."""

    def __init__(self, program, directory, *settings):
        self.log = directory + ".log"
        arguments = [program, "serve", "--dev", "--merchant", "Example Cloud", "--data", directory, "--listen", "127.0.0.1:0"]
        with open(self.log, "w") as log:
            pieces = {"stdout": subprocess.PIPE, "stderr": log, "text": True}
            self.process = subprocess.Popen([*arguments, "--segment-bytes", "16MiB", *settings], **pieces)
        for line in self.process.stdout:
            found = re.match(r"drawdown listens on (http://\S+)", line)
            if found:
                self.url = found[1]
                return
        raise AssertionError(f"the server does not start:\n{self.told()}")

    def told(self):
        with open(self.log) as log:
            return log.read()

    def call(self, method, path, body=None):
        return request(method, self.url + path, body)

    def link(self, customer, **more):
        """A link to a customer's portal."""
        asked = {"customer": customer, "return_url": f"{self.url}/payments/done", **more}
        return self.call("POST", "/v1/portal-sessions", asked)["url"]

    def use(self, customer, name, amount, **more):
        """Debits a wallet."""
        event = {"id": name, "customer": customer, "currency": "credits", "amount": amount, **more}
        answer = self.call("POST", "/v1/events", event)
        assert answer["applied"] == 1, answer

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)


class Driver:
    """Chromedriver as a process of its own."""

    def __init__(self, program):
        self.process = subprocess.Popen([program, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        seen = ""
        for line in self.process.stdout:
            seen += line
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                self.url = f"http://127.0.0.1:{found[1]}"
                return
        raise AssertionError(f"chromedriver does not start: {seen}")

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)


class Browser:
    """One window, with or without scripts. Paths are the server's."""

    def __init__(self, driver, chromium, profile, server, scripts):
        self.server = server
        arguments = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1280,900"]
        arguments.append(f"--user-data-dir={profile}")
        if os.geteuid() == 0:
            # Chromium refuses its sandbox to root.
            arguments.append("--no-sandbox")
        preferences = {} if scripts else {"profile.managed_default_content_settings.javascript": 2}
        options = {"binary": chromium, "args": arguments, "prefs": preferences}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        made = request("POST", driver.url + "/session", wanted)["value"]
        self.url = f"{driver.url}/session/{made['sessionId']}"

    def command(self, method, path, body=None):
        return request(method, self.url + path, body)["value"]

    def devtools(self, name, **arguments):
        # In a tuple, so that an empty answer is one.
        ask = lambda: (self.command("POST", "/goog/cdp/execute", {"cmd": name, "params": arguments}),)
        return until(lambda: f"{name} on {self.seen()}", ask)[0]

    def evaluate(self, script):
        answer = self.devtools("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url):
        self.command("POST", "/url", {"url": self.server.url + url if url.startswith("/") else url})

    def address(self):
        return self.command("GET", "/url")

    def all(self, css):
        found = self.command("POST", "/elements", {"using": "css selector", "value": css})
        return [element[ELEMENT] for element in found]

    def one(self, css):
        return self.only(css, lambda: self.all(css))

    def by_words(self, css, words):
        return self.only(f"{css} with {words!r}", lambda: [one for one in self.all(css) if words in self.read(one)])

    def only(self, what, ask):
        def look():
            found = ask()
            return found if len(found) == 1 else None

        return until(lambda: f"one {what} on {self.seen()}", look)[0]

    def seen(self):
        return f"{self.address()}:\n{self.text()}"

    def read(self, element):
        return self.command("GET", f"/element/{element}/text")

    def text(self):
        return self.read(self.command("POST", "/element", {"using": "css selector", "value": "body"})[ELEMENT])

    def click(self, element):
        self.command("POST", f"/element/{element}/click", {})

    def leads_to(self, beginning):
        until(lambda: f"{beginning}: {self.seen()}", lambda: self.address().startswith(self.server.url + beginning))

    def type(self, css, text):
        element = self.one(css)
        self.command("POST", f"/element/{element}/clear", {})
        self.command("POST", f"/element/{element}/value", {"text": text})

    def press(self, *keys):
        """Presses keys, wherever the focus is. What is no key's name is typed."""
        strokes = "".join(KEYS.get(key, key) for key in keys)
        actions = [{"type": kind, "value": stroke} for stroke in strokes for kind in ("keyDown", "keyUp")]
        self.command("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def reads(self, words):
        return words in " ".join(self.text().split())

    def expect(self, *all_words):
        for words in all_words:
            until(lambda words=words: f"{words!r} on {self.seen()}", lambda words=words: self.reads(words))

    def wait_for(self, words, path=None):
        """Opens a page again until it says something, or waits for the one that is open to do so."""

        def look():
            if path:
                self.open(path)
            return self.reads(words)

        until(lambda: f"{words!r} on {self.seen()}", look)

    def cookies(self):
        return {cookie["name"]: cookie for cookie in self.command("GET", "/cookie")}

    def pay(self, number):
        self.type("#number", number)
        self.type("#expiry", "12/35")
        self.type("#cvc", "123")
        self.click(self.one("main form button"))

    def stop(self):
        self.command("DELETE", "")
