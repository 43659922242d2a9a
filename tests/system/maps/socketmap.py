"""A server of a socket map (socketmap_table(5)): socketmap.py SOCKET FILE, whose lines are keys, a tab and values."""
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


listener = socket.socket(socket.AF_UNIX)
listener.bind(place)
os.chmod(place, 0o666)
listener.listen()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
