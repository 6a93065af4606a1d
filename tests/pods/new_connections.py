"""A client of a redis that makes a new connection for each request. Ends on SIGTERM, with one line of JSON on standard
output.

usage: new_connections.py ADDRESS PORT
"""
import json
import signal
import socket
import sys
import threading
import time

address, port = sys.argv[1], int(sys.argv[2])
ending = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ending.set())
requests, longest, problems = 0, 0.0, []


def ask():
    with socket.create_connection((address, port), timeout=30) as connection:
        connection.sendall(b"*1\r\n$4\r\nPING\r\n")
        reply = connection.recv(100)
        if reply != b"+PONG\r\n":
            problems.append(f"request {requests}: reply {reply!r}")


deadline = time.monotonic() + 20
while True:  # a Service answers when its endpoints have come to the node
    try:
        ask()
        break
    except OSError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.1)
print("started", flush=True)
while not ending.is_set():
    began = time.monotonic()
    try:
        ask()
    except Exception as error:  # whatever refuses a connection is what this program is to find
        problems.append(f"request {requests}: {error!r}")
    longest = max(longest, time.monotonic() - began)
    requests += 1
    time.sleep(0.02)
print(json.dumps({"requests": requests, "longest_wait_ms": longest * 1000, "problems": problems[:10]}), flush=True)
