"""Clients that keep one connection each open and check every reply: load.py KIND HOST PORT CLIENTS.

Prints "open" when each client had its first reply, then "replies N" every 100 ms. SIGTERM: every client makes its last
checks, then "done N", exit 0. The first wrong, missing or late reply: "wrong: ...", exit 1. Nobody ever reconnects.
"""
import hashlib
import http.client
import os
import random
import signal
import socket
import sys
import threading
import time

REPLY_LIMIT_S = 10  # many times a pause
CONNECT_LIMIT_S = 20  # the server may still be starting
RUN_LIMIT_S = 90


def connect(host, port):
    limit = time.monotonic() + CONNECT_LIMIT_S
    while True:
        try:
            return socket.create_connection((host, port), timeout=REPLY_LIMIT_S)
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.05)


def expect(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r:.120}, expected {wanted!r:.120}")


class Lines:
    """A TCP connection that is read by lines and by counts of bytes."""

    def __init__(self, host, port):
        self.socket = connect(host, port)
        self.file = self.socket.makefile("rb")

    def ask(self, data):
        self.socket.sendall(data)
        return self.line()

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise AssertionError("the connection was closed")
        return line.rstrip(b"\r\n")


class Memcached:
    """Own keys with random values, and a counter."""

    KEYS = 800

    def __init__(self, host, port, number):
        self.lines = Lines(host, port)
        self.name = f"client{number}"
        self.random = random.Random(number)
        self.values = {}
        self.count = 0
        expect(self.lines.ask(b"set %s-count 0 0 1\r\n0\r\n" % self.name.encode()), b"STORED", "set counter")
        for key in range(self.KEYS):
            self.write(key)

    def write(self, key):
        value = self.random.randbytes(self.random.randint(1, 6000)).hex().encode()
        asked = b"set %s-%d 0 0 %d\r\n%s\r\n" % (self.name.encode(), key, len(value), value)
        expect(self.lines.ask(asked), b"STORED", "set")
        self.values[key] = value

    def read(self, key):
        value = self.values[key]
        name = b"%s-%d" % (self.name.encode(), key)
        expect(self.lines.ask(b"get %s\r\n" % name), b"VALUE %s 0 %d" % (name, len(value)), "get")
        expect(self.lines.line(), value, "value")
        expect(self.lines.line(), b"END", "end of get")

    def step(self):
        self.count += 1
        counted = self.lines.ask(b"incr %s-count 1\r\n" % self.name.encode())
        expect(counted.strip(), b"%d" % self.count, "counter")
        self.write(self.random.randrange(self.KEYS))
        self.read(self.random.randrange(self.KEYS))

    def last(self):
        for key in range(self.KEYS):
            self.read(key)


class Hashes:
    """The service of threads.py: "COUNT sha256" of what was sent, computed by one of its children."""

    def __init__(self, host, port, number):
        self.lines = Lines(host, port)
        self.random = random.Random(number)
        self.count = 0

    def step(self):
        self.count += 1
        data = self.random.randbytes(self.random.randint(1, 2000)).hex().encode()
        answer = b"%d %s" % (self.count, hashlib.sha256(data).hexdigest().encode())
        expect(self.lines.ask(data + b"\n"), answer, "answer")

    def last(self):
        self.step()


class Http:
    """One keep-alive connection: http.client would reconnect by itself, so that is switched off."""

    def __init__(self, host, port):
        self.connection = http.client.HTTPConnection(host, port, timeout=REPLY_LIMIT_S)
        self.connection.sock = connect(host, port)
        self.connection.auto_open = 0

    def ask(self, method, path, body=None):
        self.connection.request(method, path, body)
        response = self.connection.getresponse()
        expect(response.status, 200, "status")
        return response


class Node:
    """The service of server.js: "COUNT-ON-THIS-CONNECTION sha256" of the body."""

    def __init__(self, host, port, number):
        self.http = Http(host, port)
        self.random = random.Random(number)
        self.count = 0

    def step(self):
        self.count += 1
        body = self.random.randbytes(self.random.randint(1, 20000))
        answer = f"{self.count} {hashlib.sha256(body).hexdigest()}".encode()
        expect(self.http.ask("POST", "/", body).read(), answer, "answer")

    def last(self):
        self.step()


class Nginx:
    """/connection answers "CONNECTION REQUESTS-ON-IT ARGUMENT": the first stays, the second counts."""

    def __init__(self, host, port, _number):
        self.http = Http(host, port)
        self.count = 0
        self.connection = None

    def step(self):
        self.count += 1
        words = self.http.ask("GET", f"/connection?n={self.count * 7}").read().decode().split()
        self.connection = self.connection or words[0]
        expect(words, [self.connection, str(self.count), str(self.count * 7)], "answer")

    def last(self):
        self.step()


class Download:
    """One large file, read slowly until the end is asked for, then as fast as it comes. Prints its hash."""

    CHUNK = 32 << 10

    def __init__(self, host, port, _number):
        self.http = Http(host, port)
        self.response = self.http.ask("GET", "/large")
        self.left = int(self.response.headers["Content-Length"])
        self.hash = hashlib.sha256()

    def read(self):
        data = self.response.read(min(self.CHUNK, self.left))
        self.left -= len(data)
        self.hash.update(data)
        if not data:
            raise AssertionError(f"the download ended {self.left} bytes early")

    def step(self):
        self.read()
        if self.left == 0:
            raise AssertionError("the download was over before the last move")
        time.sleep(0.02)

    def last(self):
        print("left", self.left, flush=True)
        while self.left > 0:
            self.read()
        print("sha256", self.hash.hexdigest(), flush=True)


class Udp:
    """Numbered datagrams at a steady rate; each reply must be the echo of one, once, in order. Prints how many had
    none: a move may lose what waited unread in the socket, as any network may, but nothing else."""

    INTERVAL_S = 0.002

    def __init__(self, host, port, _number):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((host, port))
        self.sent = 0
        self.received = 0
        self.last_seen = 0
        self.echoes = 0
        limit = time.monotonic() + CONNECT_LIMIT_S
        while self.last_seen == 0:
            if time.monotonic() > limit:
                raise AssertionError("no echo at all")
            self.send()
            self.receive(0.1)
        self.sent_before = self.sent  # some of these came before there was a server
        self.received = 0

    def payload(self, number):
        return hashlib.sha256(str(number).encode()).hexdigest().encode()

    def send(self):
        self.sent += 1
        try:
            self.socket.send(b"%d %s" % (self.sent, self.payload(self.sent)))
        except ConnectionRefusedError:
            if self.last_seen > 0:
                raise

    def receive(self, limit_s):
        self.socket.settimeout(limit_s)
        try:
            data = self.socket.recv(2048)
        except (TimeoutError, BlockingIOError):
            return False
        except ConnectionRefusedError:
            if self.last_seen > 0:
                raise
            time.sleep(limit_s)
            return False
        echoes, number, payload = data.split()
        if int(number) <= self.last_seen or int(number) > self.sent:
            raise AssertionError(f"echo of {number} after that of {self.last_seen}, of {self.sent} sent")
        if int(echoes) <= self.echoes:
            raise AssertionError(f"the server has forgotten how many echoes it sent: {echoes} after {self.echoes}")
        expect(payload, self.payload(int(number)), "payload")
        self.last_seen, self.echoes = int(number), int(echoes)
        self.received += 1
        return True

    def step(self):
        began = time.monotonic()
        self.send()
        while self.receive(0):
            pass
        if self.sent - self.last_seen > REPLY_LIMIT_S / self.INTERVAL_S:
            raise AssertionError("no echo any more")
        time.sleep(max(0.0, began + self.INTERVAL_S - time.monotonic()))

    def last(self):
        while self.receive(0.5):
            pass
        print("lost", self.sent - self.sent_before - self.received, flush=True)


class Run:
    def __init__(self, client, host, port, clients):
        self.ending = threading.Event()
        self.replies = [0] * clients
        self.threads = [
            threading.Thread(target=self.work, args=(client, host, port, i), daemon=True) for i in range(clients)
        ]

    def work(self, client, host, port, number):
        try:
            one = client(host, port, number)
            while not self.ending.is_set():
                one.step()
                self.replies[number] += 1
                time.sleep(0.001)
            one.last()
        except Exception as error:  # whatever it is, it is the result
            print(f"wrong: client {number} after {self.replies[number]} replies: {error!r}", flush=True)
            os._exit(1)

    def run(self):
        limit = time.monotonic() + RUN_LIMIT_S
        for thread in self.threads:
            thread.start()
        opened = False
        while any(thread.is_alive() for thread in self.threads):
            if not opened and min(self.replies) > 0:
                opened = True
                print("open", flush=True)
            if opened:
                print("replies", sum(self.replies), flush=True)
            if time.monotonic() > limit:
                print("wrong: nobody ended this", flush=True)
                os._exit(1)
            time.sleep(0.1)
        print("done", sum(self.replies), flush=True)


def main():
    kinds = {kind.__name__.lower(): kind for kind in (Memcached, Hashes, Node, Nginx, Download, Udp)}
    run = Run(kinds[sys.argv[1]], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    signal.signal(signal.SIGTERM, lambda *_: run.ending.set())
    run.run()


main()
