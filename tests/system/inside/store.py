"""Forges what a service left in its descriptor store.

store.py UNIT truncated|unsealed|garbage    a file `sessions` of that kind, and a connection `session-0`
"""

import fcntl
import os
import socket
import subprocess
import sys

unit, kind = sys.argv[1:]
# Only a process of the unit is heard.
group = subprocess.check_output(["systemctl", "show", "-P", "ControlGroup", unit], text=True).strip()
with open(f"/sys/fs/cgroup{group}/cgroup.procs", "w") as procs:
    procs.write(str(os.getpid()))
octets = {"truncated": b"gatepost", "unsealed": b"", "garbage": os.urandom(5000)}[kind]
states = os.memfd_create("gatepost-sessions", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
os.write(states, octets)
if kind != "unsealed":
    fcntl.fcntl(states, 1033, 0x0F)
listener = socket.socket(socket.AF_UNIX)
listener.bind("\0forged")
listener.listen()
peer = socket.socket(socket.AF_UNIX)
peer.connect("\0forged")
stream, _ = listener.accept()
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.connect("/run/systemd/notify")
    for name, descriptor in (("sessions", states), ("session-0", stream.fileno())):
        socket.send_fds(notify, [f"FDSTORE=1\nFDNAME={name}\n".encode()], [descriptor])
    ours, theirs = os.pipe()
    socket.send_fds(notify, [b"BARRIER=1"], [theirs])
    os.close(theirs)
    os.read(ours, 1)
