"""A receiver of webhooks that fails, hangs and restarts, and verifies what it gets with the Standard Webhooks project's own library.

    webhooks.py http://127.0.0.1:PORT      (a server with --dev --webhook-allow-private)

Ends with 0 if every event arrived, in order, under a signature that the library accepts, and with a message otherwise.
"""

import http.server
import json
import queue
import sys
import threading
import urllib.request

from standardwebhooks import Webhook

PATIENCE = 60
SERVER = sys.argv[1]


def call(method, path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(SERVER + path, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        text = answer.read()
        return json.loads(text) if text else None


class Receiver:
    """Each request is handed to the test, which says what becomes of it: a status, or None to say nothing until it is told to stop."""

    def __init__(self, port=0):
        self.requests = queue.Queue()
        self.stopping = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                answers = queue.Queue()
                outer.requests.put((dict(self.headers.items()), body, answers))
                status = answers.get()
                if status is None:
                    outer.stopping.wait()
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-length", "0")
                self.send_header("connection", "close")
                self.end_headers()

            def log_message(self, *_):
                pass

        http.server.ThreadingHTTPServer.daemon_threads = True
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, status):
        headers, body, answers = self.requests.get(timeout=PATIENCE)
        answers.put(status)
        return headers, body

    def stop(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()


def verified(secret, headers, body):
    """The event, if the library accepts its signature; it raises otherwise."""
    event = Webhook(secret).verify(body, headers)
    names = {name.lower(): value for name, value in headers.items()}
    assert names["webhook-id"] == event["id"], "webhook-id is the event's identity"
    return event


def refuses(secret, headers, body):
    try:
        Webhook(secret).verify(body, headers)
    except Exception:
        return True
    return False


def main():
    receiver = Receiver()
    call("PUT", "/v1/credit-currencies/credits", {"scale": 2})
    for customer in "ab":
        call("POST", "/v1/grants", {"customer": customer, "currency": "credits", "amount": "100"})
    url = f"http://127.0.0.1:{receiver.port}/hooks"
    made = call("POST", "/v1/webhook-endpoints", {"url": url, "events": ["debit.applied"]})
    secret, path = made["secret"], "/v1/webhook-endpoints/" + made["id"]
    first = [{"id": f"a{n}", "customer": "a", "amount": "1"} for n in range(3)]
    call("POST", "/v1/events", first)

    headers, body = receiver.take(500)
    failed = verified(secret, headers, body)
    assert refuses(secret, headers, body + b" "), "a changed body is refused"
    assert refuses("whsec_" + "A" * 43 + "=", headers, body), "another secret is refused"
    print("verified, and answered with 500:", failed["data"]["data"]["event_id"])

    # Its wallet waits; another one does not.
    call("POST", "/v1/events", {"id": "b0", "customer": "b", "amount": "1"})
    headers, body = receiver.take(200)
    assert verified(secret, headers, body)["data"]["customer"] == "b", "another wallet goes on"
    headers, body = receiver.take(None)
    assert verified(secret, headers, body)["id"] == failed["id"], "the same message, five seconds later"
    print("left without an answer")

    # The receiver restarts while the server waits for it; an operator hastens the next attempt.
    receiver.stop()
    receiver = Receiver(receiver.port)
    while True:
        retrying = call("GET", path + "/deliveries?status=retrying")["data"]
        if retrying and len(retrying[0]["attempts"]) >= 2:
            break
    rotated = call("POST", path + "/rotate-secret", {})
    call("POST", f"/v1/deliveries/{retrying[0]['id']}/redeliver", {})
    told = []
    for _ in range(3):
        headers, body = receiver.take(204)
        told.append(verified(secret, headers, body)["data"]["data"]["event_id"])
        assert verified(rotated["secret"], headers, body), "both secrets sign"
    assert told == ["a0", "a1", "a2"], told
    print("after a restart, in order, signed with both secrets:", told)

    delivery = call("GET", f"/v1/deliveries/{retrying[0]['id']}")
    attempts = [attempt["status"] or attempt["error"] for attempt in delivery["attempts"]]
    assert delivery["status"] == "delivered" and attempts[0] == 500 and attempts[-1] == 204, delivery
    call("POST", f"/v1/deliveries/{retrying[0]['id']}/redeliver", {})
    headers, body = receiver.take(200)
    assert verified(rotated["secret"], headers, body)["id"] == failed["id"], "redelivered under the same id"
    print("attempts:", attempts, "and once more on request")
    receiver.stop()


main()
