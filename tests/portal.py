"""The portal of a running server in headless Chromium, driven over WebDriver with nothing but the standard library.

    portal.py http://127.0.0.1:PORT CHROMIUM CHROMEDRIVER PROFILE [SHOTS]      (a server with --dev)

A customer opens its link, buys a package on the hosted checkout, sees its balance, is told of a declined card, sets a rule, and sees the automatic
top-up that usage sets off. Scripts are switched off in that browser. A second one, in which they are on for the test's own sake, then looks at every
page, large and small, by day and by night: names of everything that can be operated, contrast, width. SHOTS is a folder for pictures of all of it.

Ends with 0 if all is as it should be, and with a message otherwise.
"""

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

PATIENCE = 60
SERVER, CHROMIUM, CHROMEDRIVER, PROFILE = sys.argv[1:5]
SHOTS = sys.argv[5] if len(sys.argv) > 5 else None
GONE = ('"no such element"', '"stale element reference"', "Inspected target navigated", "Cannot find context", "context was destroyed")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


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


def call(method, path, body=None):
    return request(method, SERVER + path, body)


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


class Driver:
    """Chromedriver as a process of its own."""

    def __init__(self):
        self.process = subprocess.Popen([CHROMEDRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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
    """One window."""

    def __init__(self, driver, name, scripts):
        arguments = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1280,900"]
        arguments.append(f"--user-data-dir={PROFILE}-{name}")
        if os.geteuid() == 0:
            # Chromium refuses its sandbox to root.
            arguments.append("--no-sandbox")
        preferences = {} if scripts else {"profile.managed_default_content_settings.javascript": 2}
        options = {"binary": CHROMIUM, "args": arguments, "prefs": preferences}
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
        self.command("POST", "/url", {"url": url})

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
        until(lambda: f"{beginning}: {self.seen()}", lambda: self.address().startswith(SERVER + beginning))

    def type(self, css, text):
        element = self.one(css)
        self.command("POST", f"/element/{element}/clear", {})
        self.command("POST", f"/element/{element}/value", {"text": text})

    def reads(self, words):
        return words in " ".join(self.text().split())

    def expect(self, *all_words):
        for words in all_words:
            until(lambda words=words: f"{words!r} on {self.seen()}", lambda words=words: self.reads(words))

    def wait_for(self, words, path=None):
        def look():
            if path:
                self.open(SERVER + path)
            return self.reads(words)

        until(lambda: f"{words!r} on {self.seen()}", look)

    def pay(self, number):
        self.type("#number", number)
        self.type("#expiry", "12/35")
        self.type("#cvc", "123")
        self.click(self.one("main form button"))

    def stop(self):
        self.command("DELETE", "")


def portal_link(customer, **more):
    return call("POST", "/v1/portal-sessions", {"customer": customer, "return_url": f"{SERVER}/payments/done", **more})["url"]


def set_up():
    call("PUT", "/v1/credit-currencies/credits", {"scale": 2, "name": "Compute credits", "symbol": "credits"})
    call("PUT", "/v1/credit-currencies/euro", {"scale": 0, "name": "Prepaid euro", "symbol": "ct", "kind": "fiat", "iso_code": "EUR"})
    call("PUT", "/v1/credit-currencies/euro/portal-limits", {"min_payment": "5", "max_payment": "100", "max_balance": "50000"})
    call("PUT", "/v1/meters/tokens.used", {"currency": "credits", "rate": "0.01", "rounding": "up"})
    price = {"amount": "10.00", "currency": "EUR"}
    starter = {"name": "Starter", "currency": "credits", "credits": "1000", "bonus": "100", "price": price, "valid_for_seconds": 90 * 86400}
    call("PUT", "/v1/credit-packages/starter", starter)
    team = {"name": "Team", "currency": "credits", "credits": "12000", "price": {"amount": "100.00", "currency": "EUR"}}
    call("PUT", "/v1/credit-packages/team", team)
    call("PUT", "/v1/credit-currencies/credits/recharge-config", {"package": "starter"})
    call("PUT", "/v1/customers/zoe", {"name": "Zoë Müller"})
    gift = {"customer": "zoe", "currency": "credits", "amount": "50", "source": "promotional", "category": "promotional"}
    call("POST", "/v1/grants", gift)


def use(number, amount):
    answer = call("POST", "/v1/events", {"id": f"evt_{number}", "customer": "zoe", "currency": "credits", "amount": amount})
    assert answer["applied"] == 1, answer


def buy(browser):
    """Opens the link, buys a package through the hosted checkout, and sees it in the balance."""
    browser.open(portal_link("zoe"))
    browser.leads_to("/portal/credits/overview")
    assert "token" not in browser.address()
    browser.expect("Signed in for Zoë Müller", "Example Cloud", "Test mode", "Available 50 credits")
    cookie = next(cookie for cookie in browser.command("GET", "/cookie") if cookie["name"] == "drawdown_portal")
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/portal"), cookie
    browser.click(browser.by_words("main a.button", "Buy credits"))
    browser.expect("Starter", "1 000 credits", "and 100 free", "for 90 days", "Team")
    browser.click(browser.by_words("button[name=package]", "Starter"))
    browser.leads_to("/checkout/")
    browser.expect("Pay by card", "10.00 EUR")
    browser.pay("4000 0000 0000 0002")
    browser.expect("declined")
    print("a declined card is told on the checkout:", browser.read(browser.one("[role=alert]")))
    browser.pay("4242 4242 4242 4242")
    browser.expect("Paid")
    browser.click(browser.by_words("a.button", "Continue"))
    browser.wait_for("Paid. The credits are in your wallet.")
    browser.click(browser.by_words("main a", "To the balance"))
    browser.expect("Available 1 150 credits", "Package: Starter", "Gift free")
    print("bought on the hosted checkout; the balance is 1150")
    browser.open(f"{SERVER}/portal/credits/invoices")
    browser.click(browser.by_words("tbody th a", "1"))
    browser.expect("Receipt 1", "Example Cloud", "Visa ending in 4242", "Due 0.00 EUR")


def declined_card(browser):
    """A card that can be saved and not charged: told in words."""
    browser.open(f"{SERVER}/portal/credits/cards")
    browser.expect("Visa ending in 4242", "default")
    browser.click(browser.by_words("button", "Add a card"))
    browser.pay("4000 0000 0000 9995")
    browser.click(browser.by_words("a.button", "Continue"))
    browser.wait_for("Visa ending in 9995", "/portal/credits/cards")
    browser.open(f"{SERVER}/portal/credits/buy")
    browser.click(browser.by_words("label.choice", "9995"))
    browser.click(browser.by_words("button[name=package]", "Starter"))
    browser.wait_for("The card has not enough money. Nothing was paid.")
    print("a declined card is told in the portal")


def automatic(browser):
    """Sets a rule, lets usage go below its threshold, and sees what was bought."""
    browser.open(f"{SERVER}/portal/credits/overview")
    browser.click(browser.by_words("main a.button", "Automatic top-up"))
    browser.click(browser.one("input[name=enabled]"))
    browser.type("#threshold", "a lot")
    browser.click(browser.by_words("button", "Save"))
    browser.expect("Nothing was saved", "The threshold must be a number.")
    browser.type("#threshold", "200")
    browser.type("#limit_day_count", "3")
    browser.click(browser.by_words("button", "Save"))
    browser.expect("Saved.", "It is on, and waits for the balance to run low.")
    use(1, "1000")
    browser.wait_for("Available 1 250 credits", "/portal/credits/overview")
    browser.expect("Automatic top-up: Starter", "Automatic top-up buys Starter when the balance falls below 200 credits.")
    browser.open(f"{SERVER}/portal/credits/history")
    browser.expect("Usage evt_1", "Automatic top-up: Starter", "+1 100", "−1 000")
    print("a rule set in the portal bought when usage went below its threshold")


def strangers(browser):
    """Nothing opens without a link that is whole, and what is over says so."""
    browser.open(f"{SERVER}/portal/open?token=" + portal_link("zoe").split("token=")[1][:-4])
    browser.expect("The portal is not open", "open it again")
    browser.open(portal_link("somebody", currency="euro", page="buy"))
    browser.expect("An amount of your own", "5.00 to 100.00 EUR")
    browser.type("#amount", "4")
    browser.click(browser.by_words("button", "Buy this amount"))
    browser.expect("The payment must be 5.00 EUR at the least.")
    browser.open(f"{SERVER}/portal/credits/invoices/1")
    browser.expect("Nothing here")


# What is looked at on every page. Each gives a list of what is wrong.
CONTRAST = """(() => {
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const colour = text => { const parts = text.match(/[\\d.]+/g).map(Number); return {rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1}; };
  const ground = element => { for (let at = element; at; at = at.parentElement) {
    const found = colour(getComputedStyle(at).backgroundColor); if (found.alpha === 1) return found.rgb; } return [255, 255, 255]; };
  const wrong = [];
  for (const element of document.querySelectorAll('body *')) {
    const words = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.textContent.trim()).join('');
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    if (!words || style.visibility === 'hidden' || style.display === 'none' || box.width < 2 || box.right < 0) continue;
    const [one, other] = [luminance(colour(style.color).rgb), luminance(ground(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) wrong.push(`${words.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return wrong; })()"""
WIDTH = """(() => { const wide = document.documentElement.scrollWidth, has = document.documentElement.clientWidth;
  return wide > has ? [`${wide} pixels wide on ${has}`] : []; })()"""
SMALL = """(() => [...document.querySelectorAll('button, a.button, input:not([type=hidden]), select')]
  .filter(element => element.offsetParent && Math.min(element.getBoundingClientRect().height, element.getBoundingClientRect().width) < 18)
  .map(element => `${element.outerHTML.slice(0, 80)} is too small to be hit`))()"""
OPERATED = {"button", "link", "textbox", "combobox", "checkbox", "radio", "spinbutton", "searchbox"}


def nameless(browser):
    nodes = browser.devtools("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node.get("ignored") and node.get("role", {}).get("value") in OPERATED]
    assert shown or "main" in browser.evaluate("document.body.innerHTML"), browser.address()
    return [f"a {node['role']['value']} without a name" for node in shown if not node.get("name", {}).get("value", "").strip()]


def look(browser, name):
    """Looks at the page that is open, large and small, by day and by night."""
    wrong = []
    for size, width, height in (("desktop", 1280, 900), ("phone", 390, 844)):
        browser.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=size == "phone")
        for scheme in ("light", "dark"):
            browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            for check in (CONTRAST, WIDTH, SMALL):
                wrong += [f"{name}, {size}, {scheme}: {found}" for found in browser.evaluate(check)]
            if SHOTS:
                picture = browser.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
                path = os.path.join(SHOTS, f"{name}-{size}-{scheme}.png")
                with open(path, "wb") as file:
                    file.write(base64.b64decode(picture))
    wrong += [f"{name}: {found}" for found in nameless(browser)]
    return wrong


def plant(browser):
    """What the checks look for, they find."""
    browser.evaluate("""(() => { const planted = document.createElement('button'); planted.textContent = 'planted';
      planted.style.cssText = 'color: #888; background: #999; width: 3000px; height: 9px; padding: 0; min-height: 0; border: 0; display: block';
      document.querySelector('main').append(planted, document.createElement('input')); })()""")
    found = [bool(browser.evaluate(check)) for check in (CONTRAST, WIDTH, SMALL)] + [bool(nameless(browser))]
    assert all(found), f"the checks are blind: {found}"


def look_at_all(browser):
    browser.open(portal_link("zoe"))
    plant(browser)
    wrong = []
    pages = {
        "overview": "/portal/credits/overview",
        "overview-empty": "/portal/euro/overview",
        "buy": "/portal/credits/buy",
        "buy-amount": "/portal/euro/buy",
        "automatic": "/portal/credits/automatic",
        "automatic-amount": "/portal/euro/automatic",
        "cards": "/portal/credits/cards",
        "history": "/portal/credits/history",
        "invoices": "/portal/credits/invoices",
        "invoice": "/portal/credits/invoices/1",
        "nothing": "/portal/none/overview",
    }
    for name, path in pages.items():
        browser.open(SERVER + path)
        wrong += look(browser, name)
    # Forms with something wrong in them, and what comes of orders.
    browser.open(f"{SERVER}/portal/credits/automatic")
    browser.type("#threshold", "a lot")
    browser.type("#limit_week_amount", "0")
    browser.click(browser.by_words("button", "Save"))
    browser.expect("Nothing was saved")
    wrong += look(browser, "automatic-rejected")
    browser.open(f"{SERVER}/portal/euro/buy")
    browser.type("#amount", "4")
    browser.click(browser.by_words("button", "Buy this amount"))
    browser.expect("at the least")
    wrong += look(browser, "buy-rejected")
    browser.open(f"{SERVER}/portal/credits/buy")
    browser.click(browser.by_words("label.choice", "Another card"))
    browser.click(browser.by_words("button[name=package]", "Starter"))
    browser.leads_to("/checkout/")
    wrong += look(browser, "checkout")
    browser.pay("4000 0000 0000 0002")
    browser.expect("declined")
    wrong += look(browser, "checkout-declined")
    top_up = call("GET", "/v1/top-ups?customer=zoe&limit=1")["data"][0]["id"]
    browser.open(f"{SERVER}/portal/credits/purchase?top_up={top_up}")
    wrong += look(browser, "purchase-waiting")
    browser.click(browser.by_words("button", "Call it off"))
    browser.expect("called off")
    wrong += look(browser, "purchase-canceled")
    browser.open(f"{SERVER}/portal/credits/buy")
    browser.click(browser.by_words("label.choice", "9995"))
    browser.click(browser.by_words("button[name=package]", "Starter"))
    browser.wait_for("Nothing was paid.")
    wrong += look(browser, "purchase-declined")
    browser.open(f"{SERVER}/portal/credits/buy")
    browser.click(browser.by_words("label.choice", "Another card"))
    browser.click(browser.by_words("button[name=package]", "Starter"))
    browser.pay("4000 0027 6000 3184")
    browser.expect("Confirm the payment")
    wrong += look(browser, "confirmation")
    browser.click(browser.by_words("button", "Confirm"))
    browser.expect("The payment was made.")
    wrong += look(browser, "confirmed")
    browser.click(browser.by_words("a.button", "Continue"))
    browser.wait_for("Paid. The credits are in your wallet.")
    wrong += look(browser, "purchase-paid")
    browser.open(f"{SERVER}/portal/credits/overview")
    browser.click(browser.by_words("button", "Sign out"))
    browser.expect("Signed out")
    wrong += look(browser, "signed-out")
    browser.open(f"{SERVER}/portal/credits/overview")
    wrong += look(browser, "closed")
    assert not wrong, "\n".join(wrong)
    print("every page has its names, contrast and width, on a desktop and a phone, by day and by night")


def main():
    set_up()
    driver = Driver()
    try:
        customer = Browser(driver, "customer", scripts=False)
        buy(customer)
        declined_card(customer)
        automatic(customer)
        strangers(customer)
        customer.stop()
        observer = Browser(driver, "observer", scripts=True)
        look_at_all(observer)
        observer.stop()
    finally:
        driver.stop()


main()
