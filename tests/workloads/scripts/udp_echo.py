"""Sends every datagram back, with the number of echoes so far before it."""
import socket

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 7000))
count = 0
while True:
    data, sender = server.recvfrom(2048)
    count += 1
    server.sendto(b"%d %s" % (count, data), sender)
