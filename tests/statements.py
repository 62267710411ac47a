#!/usr/bin/env python3
"""Holds the demo's statements, allocations, balances and money against a computation of their own from the feed.

Runs the demo into a directory, serves that, reads the whole feed and works out for each wallet, in exact decimals and by the ledger's
published rules alone, who paid which debit and what the month's statement says; then compares every line of every statement and every
allocation and balance of every entry. Of money it works out what each top-up must have charged and granted and which invoice it has, and
compares that with the top-ups, with the invoices, and with the payment provider's own record. Loopback only; it stops what it started.

    tests/statements.py [--drawdown target/release/drawdown] [--wallets 300]
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from decimal import Decimal

# Events that move neither credit nor money.
STILL = {"wallet.created", "wallet.updated", "grant.depleted", "balance.low", "balance.recovered", "balance.depleted"}
STILL |= {"debit.rejected", "customer.created", "customer.updated", "auto_top_up.triggered", "auto_top_up.skipped", "auto_top_up.failed"}
# Those that move money; its credits come as grants.
MONEY = {"top_up.created", "top_up.completed", "top_up.failed", "invoice.paid"}
# How far debits may stand before or behind their place in the ledger's order.
OVERTAKEN = 400


class Client:
    def __init__(self, address):
        self.base = f"http://{address}"

    def get(self, path, **query):
        query = {name: value for name, value in query.items() if value is not None}
        with urllib.request.urlopen(f"{self.base}{path}?{urllib.parse.urlencode(query)}", timeout=30) as answer:
            return json.load(answer, parse_float=Decimal)

    def pages(self, path, cursor="cursor", **query):
        after = None
        while True:
            page = self.get(path, **{cursor: after}, **query)
            yield from page["data"]
            after = page["next_cursor"]
            if after is None or page.get("at_end") or not page["data"]:
                return


class Grant:
    def __init__(self, event):
        data = event["data"]
        self.id, self.left = data["grant"], Decimal(data["amount"])
        # The order of spending: priority, expiry (none is last), promotional before paid, lower cost, what took effect first, the older one.
        promotional = 0 if data["category"] == "promotional" else 1
        cost = Decimal(data.get("cost_basis") or 0)
        self.rank = (data["priority"], data.get("expires_at") or "~", promotional, cost, data["effective_at"], event["lsn"])


class Wallet:
    """One wallet's history, worked out from its events."""

    def __init__(self):
        self.balance, self.grants, self.entries, self.lines = Decimal(0), [], {}, collections.defaultdict(lambda: [Decimal(0), Decimal(0), 0])

    def grant(self, event):
        data = event["data"]
        if data["status"] != "active":
            sys.exit(f"a grant that is {data['status']} is beyond this computation: {event}")
        self.grants.append(Grant(event))
        self.grants.sort(key=lambda grant: grant.rank)
        self.balance += Decimal(data["amount"])
        self.count(("granted", data["source"], data["category"]), Decimal(data["amount"]), Decimal(0))

    def debit(self, event):
        data = event["data"]
        amount, parts = Decimal(data["amount"]), []
        self.balance -= amount
        rest = amount
        for grant in self.grants:
            part = min(grant.left, rest)
            if part:
                grant.left -= part
                rest -= part
                parts.append((grant.id, part))
        if rest:
            sys.exit(f"a debit that no grant paid: {event}")
        self.entries[str(data["entry"])] = (-amount, self.balance, parts)
        self.count(("used", data["meter"]), -amount, Decimal(data["quantity"]))

    def count(self, line, amount, quantity):
        total = self.lines[line]
        total[0] += amount
        total[1] += quantity
        total[2] += 1

    def replay(self, events):
        """Takes the events in the ledger's order: the feed tells them in the log's, in which debits overtake each other."""
        events = collections.deque(events)
        while events:
            for place, event in enumerate(events):
                if place > OVERTAKEN:
                    sys.exit(f"no debit goes on from {self.balance}: {events[0]}")
                if event["type"] == "debit.applied":
                    if Decimal(event["data"]["balance"]) == self.balance - Decimal(event["data"]["amount"]):
                        self.debit(event)
                        break
                elif place == 0:
                    self.grant(event)
                    break
            else:
                # A debit's place may lie before that of a grant which it has already seen.
                place = next((place for place, event in enumerate(events) if event["type"] == "grant.created"), None)
                if place is None:
                    sys.exit(f"no debit goes on from {self.balance}: {events[0]}")
                self.grant(events[place])
            del events[place]


class Money:
    """What was bought, worked out from its events."""

    def __init__(self):
        self.top_ups, self.invoices, self.credited, self.granted = {}, {}, collections.Counter(), collections.Counter()

    def take(self, event):
        kind, data, customer = event["type"], event["data"], event["customer"]
        if kind == "grant.created":
            if data["source"] in ("top_up", "auto_top_up"):
                self.granted[customer, Decimal(data["amount"])] += 1
        elif kind == "invoice.paid":
            if data["number"] in self.invoices:
                sys.exit(f"a number that was given twice: {event}")
            self.invoices[data["number"]] = (customer, data["top_up"], Decimal(data["total"]), data["money"])
        elif kind == "top_up.created":
            self.top_ups[data["top_up"]] = (customer, "created", Decimal(data["amount"]), data["money"], Decimal(0))
        elif self.top_ups.get(data["top_up"], [0, 0])[1] != "created":
            sys.exit(f"a top-up that ends twice, or never began: {event}")
        else:
            credits = Decimal(data.get("credits", 0))
            self.credited.update({(customer, credits): 1} if kind == "top_up.completed" else {})
            end = kind.removeprefix("top_up.")
            self.top_ups[data["top_up"]] = (customer, end, Decimal(data["amount"]), data["money"], credits)

    def compare(self, client, data, tell):
        """Tells each figure of the server's, and of the provider's own record, that differs."""
        tell("credits of top-ups, and grants", self.granted, self.credited)
        said = {}
        for one in client.pages("/v1/top-ups", limit=100):
            end, money = one["status"], Decimal(one["amount"])
            if end == "completed":
                tell(f"captured by {one['id']}", Decimal(one["captured"]), money)
            said[one["id"]] = (one["customer"], end, money, one["amount_currency"], Decimal(one["credited"]))
        tell("top-ups", set(said), set(self.top_ups))
        for top_up, found in said.items():
            tell(f"top-up {top_up}", found, self.top_ups.get(top_up))
        tell("numbers of invoices", sorted(self.invoices), list(range(1, len(self.invoices) + 1)))
        paid = {top_up for top_up, one in self.top_ups.items() if one[1] == "completed"}
        tell("top-ups with an invoice", {top_up for _, top_up, *_ in self.invoices.values()}, paid)
        for number, expected in self.invoices.items():
            one = client.get(f"/v1/invoices/inv_{number}")
            found = (one["customer"], one["top_up"], Decimal(one["total"]), one["currency"])
            paid = sum(Decimal(part["amount"]) for part in one["paid"])
            tell(f"invoice {number}", (*found, one["status"], paid), (*expected, "paid", expected[2]))
        charged = {}
        for line in pathlib.Path(data, "simulated-bank.jsonl").read_text().splitlines():
            command = json.loads(line).get("Command")
            if isinstance(command, dict) and "Charge" in command:
                ask = command["Charge"]
                tell(f"charge of {ask['key']}, asked again", charged.setdefault(ask["key"], ask["money"]), ask["money"])
        tell("charges, and top-ups", set(charged), set(self.top_ups))
        for key, money in charged.items():
            found = (Decimal(money["amount"]) / 100, money["currency"])
            tell(f"charge of {key}", found, self.top_ups[key][2:4] if key in self.top_ups else None)
        return [one for one in self.top_ups.values() if one[1] == "completed"]


def compare(client, customer, currency, wallet, tell):
    """Tells each figure of the server's that differs."""
    said = client.get(f"/v1/wallets/{customer}/{currency}")
    tell("balance", Decimal(said["balance"]), wallet.balance)
    for entry in client.pages(f"/v1/wallets/{customer}/{currency}/entries", limit=200):
        if entry["type"] != "debit":
            continue
        parts = [(part["grant"], Decimal(part["amount"])) for part in entry["allocations"]]
        found = (Decimal(entry["amount"]), Decimal(entry["balance_after"]), parts)
        tell(f"entry {entry['entry']}", found, wallet.entries.pop(str(entry["entry"]), None))
    tell("entries that are missing", len(wallet.entries), 0)
    month = client.get(f"/v1/wallets/{customer}/{currency}/statement")
    tell("opening", Decimal(month["opening"]), Decimal(0))
    tell("closing", Decimal(month["closing"]), wallet.balance)
    lines = {}
    for line in month["lines"]:
        name = ("granted", line["source"], line["category"]) if line["type"] == "granted" else (line["type"], line.get("meter"))
        lines[name] = [Decimal(line["amount"]), Decimal(line.get("quantity", 0)), line["count"]]
    tell("lines", lines, dict(wallet.lines))
    return len(lines)


def serve(drawdown, data):
    server = subprocess.Popen(
        [drawdown, "serve", "--dev", "--data", data, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    for line in server.stdout:
        if match := re.search(r"listens on http://(\S+)", line):
            return server, match[1]
    sys.exit("the server did not start")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--drawdown", default="target/release/drawdown")
    arguments.add_argument("--wallets", default="300")
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory() as data:
        demo = [arguments.drawdown, "demo", "--no-view", "--speed", "max", "--wallets", arguments.wallets, "--data", data]
        subprocess.run(demo, check=True, stdout=subprocess.DEVNULL)
        server, address = serve(arguments.drawdown, data)
        try:
            client = Client(address)
            told, kinds, money = collections.defaultdict(list), collections.Counter(), Money()
            for event in client.pages("/v1/feed", "after", limit=1000):
                kinds[event["type"]] += 1
                if event["type"] in MONEY or event["type"] == "grant.created":
                    money.take(event)
                if event["type"] in MONEY:
                    continue
                if event["type"] in ("grant.created", "debit.applied"):
                    told[event["customer"], event["currency"]].append(event)
                elif event["type"] not in STILL:
                    sys.exit(f"an event beyond this computation: {event}")
            differences, compared, allocated, lines = [], 0, 0, 0

            def tell(what, found, expected):
                nonlocal compared
                compared += 1
                if found != expected:
                    differences.append(f"{customer} {currency}: {what}: the server says {found}, the feed {expected}")

            for (customer, currency), events in told.items():
                wallet = Wallet()
                wallet.replay(events)
                allocated += sum(len(parts) for _, _, parts in wallet.entries.values())
                lines += compare(client, customer, currency, wallet, tell)
            customer = currency = "money"
            bought = money.compare(client, data, tell)
        finally:
            server.terminate()
            server.wait(30)
    print("feed        " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    print(f"wallets     {len(told)}, with {lines} lines of statements and {allocated} allocations")
    charged, credited = sum(one[2] for one in bought), sum(one[4] for one in bought)
    print(f"money       {len(bought)} top-ups: {charged} charged, {credited} credits, {len(money.invoices)} invoices")
    print(f"compared    {compared} figures, of which {len(differences)} differ")
    for difference in differences[:20]:
        print("  " + difference)
    if differences or not kinds["debit.applied"] or not bought:
        sys.exit(1)


if __name__ == "__main__":
    main()
