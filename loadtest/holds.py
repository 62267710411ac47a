#!/usr/bin/env python3
"""Makes and captures holds over HTTP in batches, and compares every wallet with what must be in it.

usage: loadtest/holds.py [--connections 4] [--batches 50] [--batch 1000] [--wallets 20000]
after: cargo build --release --bin drawdown

Starts a server on a ledger of its own (DATA=DIR puts that on another disk, SERVER=FILE names the program). Each connection makes a batch of
holds and captures it, finally and for less, and then the next; all requests are made beforehand. An answer comes when its batch is on disk.
"""

import argparse
import http.client
import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time

HELD, CAPTURED, GRANTED = 5, 3, 1_000_000


def call(connection, method, path, body=None):
    connection.request(method, path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status < 300, (method, path, answer.status, text[:300])
    return text


def requests_of(connection, arguments):
    """Pairs of requests, and how often each wallet is captured from."""
    pick = random.Random(connection)
    pairs, counts = [], {}
    for batch in range(arguments.batches):
        holds, captures = [], []
        for number in range(arguments.batch):
            name, customer = f"hold_{connection}_{batch}_{number:08}", f"cus_{pick.randrange(arguments.wallets)}"
            counts[customer] = counts.get(customer, 0) + 1
            holds.append({"id": name, "customer": customer, "currency": "credits", "amount": str(HELD)})
            captures.append({"hold": name, "amount": str(CAPTURED), "final": True})
        pairs.append((json.dumps(holds).encode(), json.dumps(captures).encode()))
    return pairs, counts


def run(address, pairs, batch, start, took):
    connection = http.client.HTTPConnection(*address)
    connection.connect()
    start.wait()
    for holds, captures in pairs:
        begin = time.perf_counter()
        made = call(connection, "POST", "/v1/holds", holds)
        middle = time.perf_counter()
        captured = call(connection, "POST", "/v1/holds/captures", captures)
        took.append((middle - begin, time.perf_counter() - middle))
        assert made.count(b'"status":"created"') == batch, made[:300]
        assert captured.count(b'"status":"captured","capture"') == batch, captured[:300]


def percentile(times, part):
    return sorted(times)[min(int(len(times) * part), len(times) - 1)] * 1e3


def measure(address, arguments):
    connection = http.client.HTTPConnection(*address)
    call(connection, "PUT", "/v1/credit-currencies/credits", json.dumps({"scale": 2}))
    for first in range(0, arguments.wallets, 1000):
        last = min(first + 1000, arguments.wallets)
        grant = {"currency": "credits", "amount": str(GRANTED)}
        call(connection, "POST", "/v1/grants", json.dumps([{"customer": f"cus_{n}", **grant} for n in range(first, last)]))
    work = [requests_of(number, arguments) for number in range(arguments.connections)]
    start, took = threading.Barrier(arguments.connections + 1), []
    threads = [threading.Thread(target=run, args=(address, pairs, arguments.batch, start, took)) for pairs, _ in work]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    assert len(took) == arguments.connections * arguments.batches, "a connection failed"
    pairs = len(took) * arguments.batch
    print(f"{pairs} pairs in {seconds:.2f} s: {pairs / seconds:,.0f} pairs/s")
    for name, times in (("holds", [hold for hold, _ in took]), ("captures", [capture for _, capture in took])):
        print(f"  a batch of {name}: p50 {percentile(times, 0.5):.1f} ms, p99 {percentile(times, 0.99):.1f} ms")
    for number in range(arguments.wallets):
        customer = f"cus_{number}"
        expected = GRANTED - CAPTURED * sum(counts.get(customer, 0) for _, counts in work)
        wallet = json.loads(call(connection, "GET", f"/v1/wallets/{customer}/credits"))
        assert wallet["balance"] == wallet["available"] == str(expected), (wallet, expected)
    print(f"  {arguments.wallets} wallets hold what they must")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("connections", 4), ("batches", 50), ("batch", 1000), ("wallets", 20_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    program = os.environ.get("SERVER", os.path.join(here, "../target/release/drawdown"))
    data = tempfile.mkdtemp(prefix="holds.", dir=os.environ.get("DATA", "."))
    server = None
    try:
        command = [program, "serve", "--dev", "--data", os.path.join(data, "ledger"), "--listen", "127.0.0.1:0"]
        log = os.path.join(data, "log")
        with open(log, "wb") as out:
            server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        found = None
        while found is None:
            time.sleep(0.1)
            text = open(log, encoding="utf-8").read()
            assert server.poll() is None, text
            found = re.search(r"listens on http://([^:/ ]+):(\d+)", text)
        measure((found[1], int(found[2])), arguments)
    finally:
        if server is not None:
            server.terminate()
            server.wait()
        shutil.rmtree(data)


if __name__ == "__main__":
    main()
