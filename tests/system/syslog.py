#!/usr/bin/python3
"""Takes what programs send to syslog (SOCKET) and appends it to FILE, one line each."""
import os
import socket
import sys

path, file = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(path)
os.chmod(path, 0o666)
with open(file, "ab", buffering=0) as log:
    while True:
        log.write(listener.recv(65536).rstrip(b"\n\0") + b"\n")
