"""A server of a socket map (socketmap_table(5)): socketmap.py SOCKET FILE, whose lines are keys, a tab and values.

SOCKET is a path, or a port of 127.0.0.1.
"""
import os
import socket
import sys
import threading

place, file = sys.argv[1:]
entries = dict(line.rstrip("\n").split("\t", 1) for line in open(file, encoding="utf-8"))


def serve(connection):
    stream = connection.makefile("rwb")
    while True:
        length = b""
        while (octet := stream.read(1)) not in (b":", b""):
            length += octet
        if not octet:
            return
        name, key = stream.read(int(length)).decode().split(" ", 1)
        assert stream.read(1) == b","
        if name != "access":
            reply = "PERM no such map"
        elif key in entries:
            reply = "OK " + entries[key]
        else:
            reply = "NOTFOUND "
        reply = reply.encode()
        stream.write(b"%d:%s," % (len(reply), reply))
        stream.flush()


if place.isdigit():
    listener = socket.create_server(("127.0.0.1", int(place)))
else:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    os.chmod(place, 0o666)
listener.listen()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
