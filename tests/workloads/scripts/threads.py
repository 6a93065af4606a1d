"""A service of threads and child processes: a line in, "COUNT sha256" out, the hash computed by one of the children.

Inside, two threads and the children check themselves all the time; whoever finds something changed ends it all.
"""
import hashlib
import os
import queue
import socket
import threading
import time

CHILDREN = 3


def end(why):
    with open("/tmp/wrong", "w") as file:
        file.write(why)
    os._exit(1)


def child(pipe):
    """Answers hashes; remembers all it was ever asked in a running hash that its parent keeps too."""
    history = hashlib.sha256()
    while True:
        request = pipe.recv(65536)
        if not request:
            os._exit(0)
        history.update(request)
        answer = f"{hashlib.sha256(request).hexdigest()} {history.hexdigest()}"
        pipe.sendall(answer.encode())


class Child:
    def __init__(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            child(theirs)
        theirs.close()
        self.pipe = ours
        self.history = hashlib.sha256()

    def hash(self, data):
        self.pipe.sendall(data)
        self.history.update(data)
        answer, history = self.pipe.recv(65536).decode().split()
        if history != self.history.hexdigest():
            end(f"child {self.pid} forgot something")
        return answer


def count_clock():
    """Time neither goes back nor stands still for more than a move takes."""
    before = time.monotonic()
    while True:
        time.sleep(0.005)
        now = time.monotonic()
        if now < before or now > before + 10:
            end(f"the clock went from {before} to {now}")
        before = now


def rewrite_memory():
    """A table that is rewritten all the time beside a copy of it."""
    table = {i: os.urandom(64) for i in range(20000)}
    copy = {i: bytes(value) for i, value in table.items()}
    at = 0
    while True:
        for _ in range(200):
            at = (at + 7919) % len(table)
            if table[at] != copy[at]:
                end(f"entry {at} has changed")
            value = os.urandom(64)
            table[at] = value
            copy[at] = bytes(bytearray(value))
        time.sleep(0.01)


def serve(connection, children):
    file = connection.makefile("rb")
    count = 0
    for line in file:
        count += 1
        one = children.get()
        answer = one.hash(line.rstrip(b"\n"))
        children.put(one)
        connection.sendall(f"{count} {answer}\n".encode())


def main():
    children = queue.Queue()
    for _ in range(CHILDREN):
        children.put(Child())
    for checker in (count_clock, rewrite_memory):
        threading.Thread(target=checker, daemon=True).start()
    listener = socket.create_server(("0.0.0.0", 7000), backlog=16)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, children), daemon=True).start()


main()
