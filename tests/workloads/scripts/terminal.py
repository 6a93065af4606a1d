"""Runs a bundle's container with a terminal, whose other end this program holds: terminal.py BUNDLE NAME."""
import json
import os
import socket
import subprocess
import sys
import time

bundle, name = sys.argv[1], sys.argv[2]
with open(bundle + "/config.json") as file:
    config = json.load(file)
config["process"]["terminal"] = True
with open(bundle + "/config.json", "w") as file:
    json.dump(config, file)
listener = socket.socket(socket.AF_UNIX)
listener.bind("/tmp/console.sock")
listener.listen()
subprocess.run(["runc", "delete", "--force", name], check=True)
run = ["runc", "run", "--detach", "--bundle", bundle, "--console-socket", "/tmp/console.sock", name]
subprocess.run(run, check=True)
connection, _ = listener.accept()
console = socket.recv_fds(connection, 4096, 1)[1][0]
print("holds the terminal", flush=True)
while os.read(console, 4096):
    time.sleep(0.01)
