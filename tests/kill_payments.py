#!/usr/bin/env python3
"""Kills a server that charges cards, again and again, and audits what is left.

    cargo build --release && tests/kill_payments.py target/release/drawdown [SEED] [KILLS]

Eight wallets run low under debits and buy by themselves, with cards that pay, lose their first answer, tell twice, and take a while. The server is
killed (SIGKILL) at random moments up to 40 ms after the last debit and started again. At the end: one charge in the bank's book for each top-up,
every balance exact to the unit, and a ledger that `drawdown verify` calls sound, which holds each top-up against its one grant and each rule against its
limits. `make kill-payments` kills 500 times. Python's standard library only.
"""
import collections
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

WALLETS = 8
CARDS = ["4242424242424242", "9999000000000046", "9999000000000053", "9999000000000012"]
GRANT, PACKAGE, DEBIT, THRESHOLD = 1000, 1000, 600, 500


def ask(base, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(base + path, method=method, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def start(binary, data):
    arguments = [binary, "serve", "--dev", "--data", data, "--listen", "127.0.0.1:0", "--segment-bytes", "16MiB"]
    server = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return server, "http://" + server.stdout.readline().strip().split("http://")[1]


def set_up(base):
    ask(base, "PUT", "/v1/credit-currencies/credits", {"scale": 0})
    package = {"credits": str(PACKAGE), "price": {"amount": "19.99", "currency": "EUR"}}
    ask(base, "PUT", "/v1/credit-packages/starter", package)
    for number in range(WALLETS):
        customer = f"c{number}"
        page = ask(base, "POST", f"/v1/customers/{customer}/payment-methods", {})["checkout_url"]
        card = f"number={CARDS[number % len(CARDS)]}".encode()
        urllib.request.urlopen(urllib.request.Request(page, method="POST", data=card), timeout=30).close()
        grant = {"customer": customer, "currency": "credits", "amount": str(GRANT), "key": f"g{number}"}
        ask(base, "POST", "/v1/grants", grant)
        rule = {"threshold": str(THRESHOLD), "mode": "package", "package": "starter"}
        ask(base, "PUT", f"/v1/customers/{customer}/auto-topup-rules/credits", rule)


def balance(base, number):
    return int(ask(base, "GET", f"/v1/wallets/c{number}/credits")["balance"])


def top_ups(base):
    found, cursor = [], ""
    while cursor is not None:
        page = ask(base, "GET", "/v1/top-ups?limit=100" + (f"&cursor={cursor}" if cursor else ""))
        found, cursor = found + page["data"], page["next_cursor"]
    return found


def settle(base):
    """Waits until nothing is under way and no wallet is low."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        bought = top_ups(base)
        is_open = any(top_up["status"] in ("created", "processing", "requires_action") for top_up in bought)
        if not is_open and all(balance(base, number) >= THRESHOLD for number in range(WALLETS)):
            return bought
        time.sleep(0.1)
    sys.exit("it does not come to rest")


def charges(data):
    """How often each key was asked to be charged."""
    with open(f"{data}/simulated-bank.jsonl") as book:
        commands = [json.loads(line).get("Command") for line in book]
    asked = [command["Charge"]["key"] for command in commands if isinstance(command, dict) and "Charge" in command]
    return collections.Counter(asked)


def main():
    binary = sys.argv[1]
    seed, wanted = int(sys.argv[2]) if len(sys.argv) > 2 else 1, int(sys.argv[3]) if len(sys.argv) > 3 else 500
    random.seed(seed)
    data = tempfile.mkdtemp(prefix="kill-payments-")
    server, base = start(binary, data)
    try:
        set_up(base)
        spent, debits, kills, begun = [0] * WALLETS, 0, 0, time.monotonic()
        while kills < wanted:
            for _ in range(random.randrange(1, 4)):
                number, debits = random.randrange(WALLETS), debits + 1
                event = {"id": f"e{debits}", "customer": f"c{number}", "currency": "credits", "amount": str(DEBIT)}
                assert ask(base, "POST", "/v1/events", event | {"on_insufficient": "overdraft"})["applied"] == 1
                spent[number] += DEBIT
            time.sleep(random.random() * 0.04)
            server.send_signal(signal.SIGKILL)
            server.wait()
            kills += 1
            server, base = start(binary, data)
        bought = settle(base)
        asked = charges(data)
        assert {top_up["status"] for top_up in bought} == {"completed"}, "each was paid in the end"
        assert set(asked) == {top_up["id"] for top_up in bought}, "one key, one top-up"
        for number in range(WALLETS):
            credited = sum(int(top_up["credited"]) for top_up in bought if top_up["customer"] == f"c{number}")
            assert balance(base, number) == GRANT + credited - spent[number], f"wallet {number}"
        server.send_signal(signal.SIGTERM)
        server.wait()
        subprocess.run([binary, "verify", "--data", data], check=True, stdout=subprocess.DEVNULL)
        repeats = sum(asked.values()) - len(asked)
        took = time.monotonic() - begun
        print(f"{kills} kills in {took:.0f} s, {debits} debits, {len(bought)} top-ups, asked again {repeats} times: exact and sound")
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(data)


if __name__ == "__main__":
    main()
