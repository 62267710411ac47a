"""A receiver of webhooks that fails, hangs and restarts, and verifies what it gets with the Standard Webhooks project's own library.

    webhooks.py http://127.0.0.1:PORT      (a server with --dev --webhook-allow-private, --webhook-time 2s, --webhook-secret-overlap 10s)

Ends with 0 and a line of figures if every event of the feed arrived, in order within its wallet, under a signature that the library accepts;
with a message otherwise.
"""

import collections
import http.server
import json
import sys
import threading
import time
import urllib.request

from standardwebhooks import Webhook

# How long anything may take before it counts as lost, in seconds.
PATIENCE = 90
SERVER = sys.argv[1]
WALLETS = [f"w{number}" for number in range(8)]
# Answers of the receiver beside a status.
SILENCE = None


def call(method, path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(SERVER + path, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        text = answer.read()
        return json.loads(text) if text else None


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


class Receiver:
    """Answers as `decide` says, given an event and how often it came before, and keeps what came. It outlives its server, which can be stopped
    and started again on the same port."""

    def __init__(self, secrets):
        self.secrets = secrets
        self.changed = threading.Condition()
        # (event's id, wallet, status), in the order of their coming.
        self.came = []
        self.messages = {}
        self.times = collections.Counter()
        self.refused = 0
        self.failures = []
        self.decide = lambda event, before: 200
        self.port = 0
        self.start()

    def start(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = outer.take(dict(self.headers.items()), body)
                if status is SILENCE:
                    outer.stopping.wait()
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-length", "0")
                self.send_header("connection", "close")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.stopping = threading.Event()
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()

    def take(self, headers, body):
        with self.changed:
            try:
                events = [verified(secret, headers, body) for secret in self.secrets]
                self.refused += refuses(self.secrets[0], headers, body + b" ")
                self.refused += refuses("whsec_" + "A" * 43 + "=", headers, body)
            except Exception as error:
                self.failures.append(f"{error!r}: {headers} {body!r}")
                self.changed.notify_all()
                return 400
            event = events[0]
            status = self.decide(event, self.times[event["id"]])
            self.times[event["id"]] += 1
            self.messages[event["id"]] = (headers, body)
            self.came.append((event["id"], event["data"]["customer"], status))
            self.changed.notify_all()
            return status

    def wait(self, what, is_so):
        """Waits until something is so of what came."""
        with self.changed:
            done = self.changed.wait_for(lambda: self.failures or is_so(), PATIENCE)
            assert not self.failures, f"not accepted by the library: {self.failures[0]}"
            assert done, f"in vain: {what}; the last that came: {self.came[-5:]}"

    def arrived(self):
        """Ids that were answered with success, once each, in the order of their coming."""
        return list(dict.fromkeys(id for id, _, status in self.came if status is not SILENCE and 200 <= status < 300))


def place(id):
    """Where an event stands in the feed."""
    lsn, index = id.removeprefix("evt_").split("-")
    return int(lsn), int(index)


def out_of_order(came):
    """Events that arrived behind a later one of their wallet: each counts where it arrived first."""
    last, count, seen = {}, 0, set()
    for id, wallet, status in came:
        if status is SILENCE or not 200 <= status < 300 or id in seen:
            continue
        seen.add(id)
        count += place(id) < last.get(wallet, (0, 0))
        last[wallet] = max(place(id), last.get(wallet, (0, 0)))
    return count


def told(kind):
    """Ids of all events of a kind, by the feed."""
    ids, after = [], "0"
    while True:
        page = call("GET", f"/v1/feed?after={after}&limit=1000")
        ids += [event["id"] for event in page["data"] if event["type"] == kind]
        after = page["next_cursor"]
        if page["at_end"]:
            return ids


def use(prefix, rounds):
    events = [{"id": f"{prefix}-{wallet}-{n}", "customer": wallet, "amount": "1"} for n in range(rounds) for wallet in WALLETS]
    answer = call("POST", "/v1/events", events)
    assert answer["applied"] == len(events), answer
    return len(events)


def all_arrived(receiver, count):
    receiver.wait(f"{count} events", lambda: len(receiver.arrived()) >= count)


def delivery_of(path, event):
    """The name of an event on its way to an endpoint."""
    endpoint = path.rsplit("/", 1)[1].removeprefix("we_")
    return f"dlv_{endpoint}_{event.removeprefix('evt_')}"


def attempts_of(delivery):
    """What came of the attempts: a status, or the class of an error."""
    attempts = call("GET", f"/v1/deliveries/{delivery}")["attempts"]
    return [attempt["status"] or attempt["error"] for attempt in attempts]


def settled(delivery):
    """The same of one that has arrived, when the server has heard that it has."""
    begun = time.monotonic()
    while call("GET", f"/v1/deliveries/{delivery}")["status"] != "delivered":
        assert time.monotonic() - begun < PATIENCE, f"{delivery} is never delivered"
    return attempts_of(delivery)


def fails(receiver, path):
    """Three wallets are refused one event each, with 500 and 503 and 302; the others go on meanwhile."""
    bad = {"f-w0-2": 500, "f-w1-0": 503, "f-w2-4": 302}
    receiver.decide = lambda event, before: bad.get(event["data"]["data"]["event_id"], 200) if before == 0 else 200
    before, count = len(receiver.came), use("f", 6)
    all_arrived(receiver, count)
    came = receiver.came[before:]
    failed = [id for id, _, status in came if status != 200]
    assert len(failed) == 3, came
    for id in failed:
        wallet = next(wallet for of, wallet, _ in came if of == id)
        own = [of for of, owner, _ in came if owner == wallet]
        at = own.index(id)
        assert own[at + 1] == id, f"{wallet} went on past an event that had failed: {own}"
        first = next(n for n, (of, _, _) in enumerate(came) if of == id)
        again = next(n for n, (of, _, status) in enumerate(came) if of == id and status == 200)
        others = {owner for _, owner, _ in came[first:again]}
        assert len(others - {wallet}) > 0, "others go on while it waits"
    tries = sorted(str(settled(delivery_of(path, id))) for id in failed)
    assert tries == ["[302, 200]", "[500, 200]", "[503, 200]"], tries
    return len(failed)


def hangs(receiver, path):
    """Two wallets are left without an answer once; the server gives up and comes again."""
    silent = {"h-w3-1", "h-w4-0"}
    receiver.decide = lambda event, before: SILENCE if before == 0 and event["data"]["data"]["event_id"] in silent else 200
    before, goal = len(receiver.came), len(receiver.arrived()) + use("h", 3)
    all_arrived(receiver, goal)
    quiet = [id for id, _, status in receiver.came[before:] if status is SILENCE]
    assert len(quiet) == 2, receiver.came[before:]
    for id in quiet:
        tries = settled(delivery_of(path, id))
        assert len(tries) == 2 and isinstance(tries[0], str) and tries[1] == 200, tries
    return len(quiet)


def restarts(receiver, path):
    """Nobody listens; then somebody does again, and everything that happened meanwhile comes, in order."""
    receiver.decide = lambda event, before: 204
    goal = len(receiver.arrived())
    receiver.stop()
    goal += use("r", 5)
    begun, waiting = time.monotonic(), []
    while len(waiting) < len(WALLETS):
        waiting = call("GET", path + "/deliveries?status=retrying&limit=100")["data"]
        assert time.monotonic() - begun < PATIENCE, f"each wallet's first event should have failed: {waiting}"
    assert len(receiver.arrived()) == goal - 5 * len(WALLETS), "nobody listened"
    kinds = collections.Counter()
    for delivery in waiting:
        tries = attempts_of(delivery["id"])
        assert all(isinstance(attempt, str) for attempt in tries), tries
        kinds.update(tries)
    receiver.start()
    # The schedule would come in its time; an operator hastens it.
    for delivery in waiting:
        call("POST", f"/v1/deliveries/{delivery['id']}/redeliver", {})
    all_arrived(receiver, goal)
    assert {settled(delivery["id"])[-1] for delivery in waiting} == {204}
    return sum(kinds.values()), dict(kinds)


def redelivers(receiver, path):
    """Ten that have arrived are sent again on request: the same ids, the same content, signed anew."""
    before, ids = len(receiver.came), receiver.arrived()[:10]
    bodies = {id: receiver.messages[id][1] for id in ids}
    for id in ids:
        call("POST", f"/v1/deliveries/{delivery_of(path, id)}/redeliver", {})
    receiver.wait("ten redeliveries", lambda: len(receiver.came) >= before + 10)
    again = [id for id, _, _ in receiver.came[before:]]
    assert sorted(again) == sorted(ids), (again, ids)
    assert all(receiver.messages[id][1] == bodies[id] for id in ids), "the same content"
    return len(again)


def rotates(receiver, path):
    """While the old secret lasts both verify what is sent; then the new one alone does."""
    old = receiver.secrets[0]
    new = call("POST", path + "/rotate-secret", {})["secret"]
    receiver.secrets = [old, new]
    goal = len(receiver.arrived()) + use("s", 1)
    all_arrived(receiver, goal)
    both = len(WALLETS)
    # Tests are signed like everything else: until the old one is refused, and from then on for good.
    receiver.secrets = [new]
    begun, still = time.monotonic(), 0
    while True:
        known = set(receiver.messages)
        call("POST", path + "/test", {})
        receiver.wait("a test", lambda: set(receiver.messages) - known)
        (id,) = set(receiver.messages) - known
        if refuses(old, *receiver.messages[id]):
            break
        still += 1
        assert time.monotonic() - begun < PATIENCE, "the old secret never ends"
        time.sleep(0.2)
    assert not refuses(new, *receiver.messages[id])
    return both + still


def main():
    call("PUT", "/v1/credit-currencies/credits", {"scale": 2})
    for customer in WALLETS:
        call("POST", "/v1/grants", {"customer": customer, "currency": "credits", "amount": "100"})
    receiver = Receiver([])
    url = f"http://127.0.0.1:{receiver.port}/hooks"
    made = call("POST", "/v1/webhook-endpoints", {"url": url, "events": ["debit.applied", "webhook_endpoint.test"]})
    path = "/v1/webhook-endpoints/" + made["id"]
    receiver.secrets = [made["secret"]]

    failed = fails(receiver, path)
    print(f"fails: {failed} events refused with 500, 503 and 302, each came again before anything later of its wallet", flush=True)
    silent = hangs(receiver, path)
    print(f"hangs: {silent} events left without an answer came again", flush=True)
    lost, kinds = restarts(receiver, path)
    print(f"restarts: {lost} attempts found nobody ({kinds}); all came, in order, when somebody was there again", flush=True)
    redelivered = redelivers(receiver, path)
    print(f"redelivered: {redelivered}, under the same ids", flush=True)
    both = rotates(receiver, path)
    print(f"rotation: {both} messages verified with both secrets, then with the new one alone", flush=True)
    receiver.stop()

    expected, arrived = told("debit.applied"), set(receiver.arrived())
    missing, disorder = [id for id in expected if id not in arrived], out_of_order(receiver.came)
    assert not missing, f"lost: {missing}"
    assert disorder == 0, f"{disorder} events out of order"
    assert not receiver.failures, receiver.failures
    # Whatever came was tried with a changed body and with a stranger's secret as well.
    assert receiver.refused == 2 * len(receiver.came), (receiver.refused, len(receiver.came))
    retries = failed + silent + lost
    print(
        f"{len(receiver.came)} deliveries of {len(expected)} events verified by standardwebhooks, {receiver.refused} forgeries refused; "
        f"retries {retries} (status {failed}, silence {silent}, connection {lost}), redelivered {redelivered}, out of order {disorder}, lost {len(missing)}"
    )


main()
