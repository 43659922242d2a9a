#!/usr/bin/python3
"""A name server that takes every question, by UDP and TCP, and never answers."""
import selectors
import socket
import sys

port = int(sys.argv[1])
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", port))
tcp = socket.create_server(("127.0.0.1", port))
ready = selectors.DefaultSelector()
ready.register(udp, selectors.EVENT_READ)
ready.register(tcp, selectors.EVENT_READ)
held = []
while True:
    for key, _ in ready.select():
        if key.fileobj is udp:
            udp.recv(4096)
        else:
            held.append(tcp.accept())
