"""A service manager, as much of it as the daemon notices: signs of life, and a store of descriptors."""

import os
import socket
import threading
import time


class Supervisor:
    def __init__(self, stage, name, patience):
        self.path = os.path.join(stage.directory, name + ".notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.environment = {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": str(int(patience * 1e6))}
        self.signs, self.stored = [], []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            text, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 4)
            words = dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)
            if words.get("WATCHDOG") == "1":
                self.signs.append(time.monotonic())
            if words.get("FDSTORE") == "1":
                self.stored += [(words["FDNAME"], descriptor) for descriptor in descriptors]
                continue
            if words.get("FDSTOREREMOVE") == "1":
                descriptors += [descriptor for name, descriptor in self.stored if name == words["FDNAME"]]
                self.stored = [(name, descriptor) for name, descriptor in self.stored if name != words["FDNAME"]]
            # A barrier, or what is given up.
            for descriptor in descriptors:
                os.close(descriptor)

    def silence(self):
        """Seconds since the last sign of life."""
        return time.monotonic() - self.signs[-1]

    def kept(self):
        """The names of what is stored."""
        return sorted(name for name, _ in self.stored)

    def pass_on(self, command):
        """A command as the next process of a daemon gets what is stored, and the descriptors to be kept open for that."""
        moves = " ".join(f"{number}<&{descriptor} {descriptor}<&-" for number, (_, descriptor) in enumerate(self.stored, 3))
        names = ":".join(name for name, _ in self.stored)
        script = f'export LISTEN_PID=$$ LISTEN_FDS={len(self.stored)} LISTEN_FDNAMES={names}; exec "$@" {moves}'
        return ["bash", "-c", script, "bash", *command], [descriptor for _, descriptor in self.stored]
