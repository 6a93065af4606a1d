"""Holds a kernel object that no migration can restore (first argument), and counts in /tmp/count, so that one sees it
run."""
import ctypes
import os
import socket
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
held = None
if sys.argv[1] == "io_uring":
    held = libc.syscall(425, 4, ctypes.create_string_buffer(256))
elif sys.argv[1] == "userfaultfd":
    held = libc.syscall(323, os.O_CLOEXEC | 1)  # UFFD_USER_MODE_ONLY
elif sys.argv[1] == "mptcp":
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    held.bind(("0.0.0.0", 7000))
    held.listen()
elif sys.argv[1] == "mqueue":
    held = libc.syscall(240, b"jobs", os.O_CREAT | os.O_RDWR, 0o600, None)
    if held >= 0:
        os.close(held)
if held == -1:
    raise OSError(ctypes.get_errno(), sys.argv[1])
count = 0
while True:
    count += 1
    with open("/tmp/count.new", "w") as file:
        file.write(str(count))
    os.rename("/tmp/count.new", "/tmp/count")
    time.sleep(0.01)
