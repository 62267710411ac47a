"""Fills a server with something of everything, and prints a configuration of Schemathesis that names it, so that requests reach what there is.

    schemathesis_seed.py http://127.0.0.1:PORT      (a server with --dev)

Of what a request can use up (a hold, a key, a top-up) there are several. Nine of ten requests name something that there is, the others what Schemathesis
comes up with.
"""

import json
import sys
import time
import urllib.error
import urllib.request

SERVER = sys.argv[1]
MANY = range(12)


def call(method, path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    ask = urllib.request.Request(SERVER + path, data, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(ask, timeout=60) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}") from None


def post(path, body=None):
    return call("POST", path, body if body is not None else {})


def first_delivery(endpoint):
    for _ in range(600):
        found = call("GET", f"/v1/webhook-endpoints/{endpoint}/deliveries")["data"]
        if found:
            return found[0]["id"]
        time.sleep(0.05)
    raise SystemExit(f"nothing is delivered to {endpoint}")


def fill():
    """Gives, by the name of its parameter, what there is."""
    call("PUT", "/v1/credit-currencies/credits", {"scale": 2})
    call("PUT", "/v1/credit-currencies/euro", {"scale": 0, "kind": "fiat", "iso_code": "EUR"})
    call("PUT", "/v1/meters/tokens", {"currency": "credits", "rate": "0.01"})
    packages = [f"package-{number}" for number in range(3)]
    for name in packages:
        call("PUT", f"/v1/credit-packages/{name}", {"currency": "credits", "credits": "100", "price": {"amount": "10.00", "currency": "EUR"}})
    call("PUT", "/v1/credit-currencies/credits/recharge-config", {"package": packages[0]})
    call("PUT", "/v1/credit-currencies/spare", {"scale": 2})
    call("PUT", "/v1/meters/spare", {"currency": "spare", "rate": "1"})
    customers = ["cus", "cus-2"]
    for customer in [*customers, "spare"]:
        call("PUT", f"/v1/customers/{customer}", {"name": "Ada"})
    given = [post("/v1/grants", {"customer": customer, "currency": "credits", "amount": "1000"}) for customer in customers for _ in MANY]
    post("/v1/grants", {"customer": "spare", "currency": "credits", "amount": "1000"})
    pending = [post("/v1/grants", {"customer": "cus", "currency": "credits", "amount": "10", "pending": True}) for _ in MANY]
    post("/v1/grants", {"customer": "cus", "currency": "euro", "amount": "1000"})
    usage = [{"id": f"evt-{number}", "customer": "cus", "currency": "credits", "amount": "1"} for number in MANY]
    used = post("/v1/events", usage)["results"]
    holds = [post("/v1/holds", {"customer": "cus", "currency": "credits", "amount": "10", "ttl_seconds": 86_400}) for _ in MANY]
    charges = [post("/v1/charges", {"customer": "cus", "currency": "euro", "amount": "1"}) for _ in MANY]
    transfer = {"from": {"customer": "cus"}, "to": {"customer": "cus-2"}, "currency": "credits", "amount": "1"}
    transfers = [post("/v1/transfers", transfer) for _ in MANY]
    methods = [post("/v1/customers/cus/payment-methods", {"provider": "external", "reference": f"card-{number}"}) for number in MANY]
    bought = {"customer": "cus", "currency": "credits", "package": packages[0], "provider": "external"}
    top_ups = [post("/v1/top-ups", bought) for _ in MANY]
    paid = [post(f"/v1/top-ups/{post('/v1/top-ups', bought)['id']}/confirm", {}) for _ in MANY]
    forms = [f"form-{number}" for number in range(3)]
    for name in forms:
        accepts = [{"currency": "euro", "address": "DE00 1234"}, {"currency": "credits"}][: 1 + forms.index(name)]
        call("PUT", f"/v1/deposit-forms/{name}", {"title": "Pay in", "accepts": accepts, "return_url": "https://shop.invalid/back"})
    deposits = [post("/v1/top-ups", {"customer": "cus", "kind": "deposit", "form": forms[0]}) for _ in MANY]
    for deposit in deposits[::2]:
        post(f"/v1/top-ups/{deposit['id']}/confirm", {"amount": "1.25"})
    # Of invoices of charges that nobody has paid yet, some are being paid, and of others the payment was called off.
    call("PUT", "/v1/wallets/debtor/euro", {})
    call("PUT", "/v1/wallets/spare/euro", {})
    owed = [post("/v1/charges", {"customer": "debtor", "currency": "euro", "amount": "500"})["payment"] for _ in MANY]
    for payment in owed[::2]:
        post(f"/v1/top-ups/{payment['top_up']}/cancel")
    rule = {"threshold": "10", "mode": "package", "package": packages[0]}
    call("PUT", "/v1/customers/cus/auto-topup-rules/credits", rule)
    recurring = [f"plan-{number}" for number in range(3)]
    for name in recurring:
        every = {"currency": "credits", "amount": "1", "interval": {"every": 1, "unit": "month"}, "expires": "with_next"}
        call("PUT", f"/v1/customers/cus/recurring-grants/{name}", every)
    endpoints = [post("/v1/webhook-endpoints", {"url": "https://receiver.invalid/", "events": ["*"]})["id"] for _ in range(6)]
    for endpoint in endpoints:
        post(f"/v1/webhook-endpoints/{endpoint}/test")
    spare_endpoint = post("/v1/webhook-endpoints", {"url": "https://receiver.invalid/", "events": ["hold.*"]})["id"]
    deliveries = [first_delivery(endpoint) for endpoint in endpoints]
    keys = [post("/v1/api-keys", {"name": f"key {number}", "scopes": ["usage"]})["id"] for number in MANY]
    return {
        "customer": customers,
        "currency": ["credits", "euro"],
        "package": packages,
        "event_type": ["tokens"],
        "grant": [grant["id"] for grant in given + pending],
        "entry": [str(result["entry"]) for result in used],
        "hold": [hold["id"] for hold in holds],
        "charge": [charge["id"] for charge in charges],
        "transfer": [transfer["id"] for transfer in transfers],
        "top_up": [top_up["id"] for top_up in top_ups + paid + deposits],
        "invoice": [top_up["invoice"] for top_up in paid + owed],
        "form": forms,
        "payment_method": [method["id"] for method in methods],
        # Of payment methods and of recurring grants.
        "id": [method["id"] for method in methods] + recurring,
        "endpoint": endpoints,
        "spare_endpoint": [spare_endpoint],
        "delivery": deliveries,
        "key": keys,
        "provider": ["external", "simulated"],
    }


def configuration(found):
    lines = []
    for name, values in found.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    lines.append("[parameters]")
    for name in found:
        lines.append(f'"path.{name}" = {{dictionary = "{name}", probability = 0.9}}')
    for name in ("customer", "currency", "package", "payment_method", "hold", "provider", "form"):
        lines.append(f'"body.{name}" = {{dictionary = "{name}", probability = 0.9}}')
    for side in ("from", "to"):
        lines.append(f'"body.{side}.customer" = {{dictionary = "customer", probability = 0.9}}')
    # What ends something for all that come after has something of its own to end.
    for operation, parameter, value in (
        ("archiveCustomer", "customer", "spare"),
        ("changeCustomer", "customer", "spare"),
        ("changeWallet", "customer", "spare"),
        ("putWallet", "customer", "spare-wallet"),
        ("putDepositForm", "form", "spare"),
        ("archiveCurrency", "currency", "spare"),
        ("archiveMeter", "event_type", "spare"),
        ("deleteWebhookEndpoint", "endpoint", found["spare_endpoint"][0]),
        ("changeWebhookEndpoint", "endpoint", found["spare_endpoint"][0]),
    ):
        lines += ["[[operations]]", f'include-operation-id = "{operation}"', f'parameters = {{"path.{parameter}" = "{value}"}}']
    return "\n".join(lines)


print(configuration(fill()))
