"""Clients of a redis that check every reply: each counts a key of its own upwards, one request after the other. Ends on
SIGTERM, with one line of JSON on standard output.

They keep their connections: one that breaks is a problem. With "reconnect" they connect again, and one more client only
waits for a value that never comes: it is to hear, without having sent anything, that its connection has ended.

usage: clients.py ADDRESS PORT CLIENTS PREFIX [reconnect]
"""
import json
import signal
import socket
import sys
import threading
import time

address, port, clients, prefix = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
reconnects = sys.argv[5:] == ["reconnect"]
ending = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ending.set())
requests, gaps, problems = [0] * clients, [(0.0, 0.0)] * clients, []  # gap: how long, until when
breaks, waiters_told = [0] * clients, [0]
answered = [threading.Event() for _ in range(clients)]  # once, or there is a problem


def connect():
    """A Service answers when its endpoints have come to the node."""
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = socket.create_connection((address, port), timeout=3)
            connection.settimeout(30)
            return connection
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def encode(*words):
    return b"".join([b"*%d\r\n" % len(words)] + [b"$%d\r\n%s\r\n" % (len(word), word) for word in map(str.encode, words)])


def count(number, key):
    """Until the end, or the connection's."""
    connection = connect()
    replies = connection.makefile("rb")
    if reconnects:  # whether the last request was still carried out is not known
        connection.sendall(encode("GET", key))
        if replies.readline() != b"$-1\r\n":
            value = int(replies.readline())
            if value not in (requests[number], requests[number] + 1):
                problems.append(f"{key}: has the value {value} after {requests[number]} requests")
            requests[number] = value
    last = time.monotonic()
    while not ending.is_set():
        connection.sendall(encode("INCR", key))
        reply = replies.readline()
        if not reply:
            raise ConnectionResetError("end of file")
        now = time.monotonic()
        gaps[number], last = max(gaps[number], (now - last, time.time())), now
        requests[number] += 1
        answered[number].set()
        if reply != f":{requests[number]}\r\n".encode():
            problems.append(f"{key}: reply {reply!r} to request {requests[number]}")
            return
        time.sleep(0.002)
        last = time.monotonic()


def run(number):
    key = f"{prefix}-{number}"
    while not ending.is_set():
        try:
            count(number, key)
            return
        except (ConnectionError, ValueError) as error:
            if not reconnects:
                problems.append(f"{key}: {error!r} after {requests[number]} requests")
                return
            breaks[number] += 1
        except Exception as error:  # whatever breaks a connection is what this program is to find
            problems.append(f"{key}: {error!r} after {requests[number]} requests")
            return


def wait_for_nothing():
    connection = connect()
    connection.settimeout(None)
    connection.sendall(encode("BLPOP", f"{prefix}-nothing", "0"))
    try:
        connection.recv(1)
    except OSError:
        pass
    if not ending.is_set():
        waiters_told[0] += 1


threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
for thread in threads:
    thread.start()
if reconnects:
    threading.Thread(target=wait_for_nothing, daemon=True).start()
for number in range(clients):
    while not answered[number].wait(0.1) and not problems and not ending.is_set():
        pass
print("started", flush=True)
ending.wait()
for thread in threads:
    thread.join()
report = {"requests": sum(requests), "longest_wait_ms": max(gaps)[0] * 1000, "problems": problems}
report["longest_wait_until"] = time.strftime("%H:%M:%S", time.gmtime(max(gaps)[1]))
if reconnects:
    report |= {"least_breaks": min(breaks), "waiters_told": waiters_told[0]}
print(json.dumps(report), flush=True)
