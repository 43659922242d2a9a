"""A service manager: sockets that stay, a descriptor store, signs of life, and the end of the log.

As much of systemd as a daemon notices: FDSTORE=, FDSTOREREMOVE=, BARRIER=, WATCHDOG=, LISTEN_FDS.
"""

import asyncio
import fcntl
import os
import re
import signal
import socket
import time
from collections import Counter

NOBODY = 65534
# As the unit has them.
STORE, FILES, WATCHDOG = 4096, 12000, 30
TUNABLES = "glibc.malloc.mmap_threshold=1048576:glibc.malloc.tcache_count=64"
LINE = re.compile(rb"\S+ +(ERROR|WARN|INFO|DEBUG) (?:event=(\S+))?")
# A line of the log has at most so many octets, whatever a client types.
LONGEST = 2048


class Log:
    """The log of all processes, as it comes through a pipe: counted, written on, and watched for words."""

    def __init__(self, path, secrets):
        self.secrets, self.rest = [secret.encode() for secret in secrets], b""
        self.file = open(path, "wb")
        self.lines, self.octets, self.wrong, self.waiting = Counter(), 0, [], []
        self.longest, self.refusals = 0, 0
        self.end, self.write = os.pipe()
        fcntl.fcntl(self.write, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.set_blocking(self.end, False)
        asyncio.get_running_loop().add_reader(self.end, self.read)

    def read(self):
        try:
            octets = self.rest + os.read(self.end, 1 << 18)
        except BlockingIOError:
            return
        self.file.write(octets[len(self.rest):])
        *lines, self.rest = octets.split(b"\n")
        for line in lines:
            self.line(line)

    def line(self, line):
        found = LINE.match(line)
        kind = f"{found[1].decode()} {(found[2] or b'-').decode()}" if found else "none"
        self.lines[kind] += 1
        self.refusals += kind.endswith(" verdict") and b" action=reject " in line
        self.octets += len(line) + 1
        self.longest = max(self.longest, len(line))
        if kind == "none" or len(line) > LONGEST or not line.isascii() or any(secret in line for secret in self.secrets) \
                or kind in ("ERROR panic", "WARN log", "ERROR watchdog", "WARN watchdog"):
            self.wrong.append(line[:300].decode("ascii", "replace"))
        for words, future in self.waiting:
            if not future.done() and all(word in line for word in words):
                future.set_result(line)

    def expect(self, *words):
        """A future for the next line with these words."""
        future = asyncio.get_running_loop().create_future()
        self.waiting = [(words, future) for words, future in self.waiting if not future.done()]
        self.waiting.append(([word.encode() for word in words], future))
        return future

    def others(self):
        """Lines that tell of no verdict."""
        return sum(count for kind, count in self.lines.items() if not kind.endswith(" verdict"))


class Keeper:
    def __init__(self, program, directory, log, settings):
        self.program, self.directory, self.log, self.settings = program, directory, log, settings
        self.pid, self.ended, self.started = None, None, 0.0
        self.stored, self.most_stored, self.signs, self.silence = [], 0, 0.0, 0.0
        self.unix, self.control = os.path.join(directory, "milter.sock"), os.path.join(directory, "control.sock")
        tcp = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = tcp.getsockname()[1]
        self.listeners = [("milter", tcp), ("milter", self.listen(self.unix)), ("control", self.listen(self.control))]
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.notify = os.path.join(directory, "notify.sock")
        self.ear.bind(self.notify)
        os.chmod(self.notify, 0o666)
        self.ear.setblocking(False)
        asyncio.get_running_loop().add_reader(self.ear.fileno(), self.hear)

    def listen(self, path):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(4096)
        return listener

    def hear(self):
        for _ in range(256):
            try:
                text, descriptors, _, _ = socket.recv_fds(self.ear, 4096, 4)
            except BlockingIOError:
                return
            words = dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)
            name = words.get("FDNAME", "stored")
            if words.get("FDSTOREREMOVE") == "1":
                for stored, descriptor in self.stored:
                    if stored == name:
                        os.close(descriptor)
                self.stored = [(stored, descriptor) for stored, descriptor in self.stored if stored != name]
            elif words.get("FDSTORE") == "1" and len(self.stored) < STORE:
                self.stored += [(name, descriptor) for descriptor in descriptors]
                descriptors = []
            elif words.get("WATCHDOG") == "1":
                now = time.monotonic()
                self.silence, self.signs = max(self.silence, now - self.signs if self.signs else 0), now
            # A barrier, or what found no room.
            for descriptor in descriptors:
                os.close(descriptor)
            self.most_stored = max(self.most_stored, len(self.stored))

    def execute(self, passed):
        """In the child: becomes the daemon."""
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        # Out of the way of the numbers that are announced.
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, FILES) for _, descriptor in passed]
        os.dup2(self.log.write, 1)
        os.dup2(self.log.write, 2)
        for number, descriptor in enumerate(high, 3):
            os.dup2(descriptor, number)
        os.closerange(3 + len(high), 20_000)
        environment = {
            "PATH": os.environ["PATH"], "LISTEN_FDS": str(len(passed)), "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDNAMES": ":".join(name for name, _ in passed), "NOTIFY_SOCKET": self.notify,
            "WATCHDOG_USEC": str(WATCHDOG * 1_000_000), "FDSTORE": str(STORE), "GLIBC_TUNABLES": TUNABLES,
        } | self.settings
        os.execve(self.program, [self.program, "run", "--config", os.path.join(self.directory, "gatepost.toml")], environment)

    async def start(self):
        passed = [(name, listener.fileno()) for name, listener in self.listeners] + self.stored
        ready = self.log.expect("event=ready")
        pid = os.fork()
        if pid == 0:
            try:
                self.execute(passed)
            except OSError as error:
                os.write(2, f"{error}\n".encode())
            finally:
                os._exit(70)
        loop = asyncio.get_running_loop()
        self.pid, self.ended, self.signs, self.started = pid, loop.create_future(), 0.0, time.monotonic()
        watch, ended = os.pidfd_open(pid), self.ended

        def reap():
            loop.remove_reader(watch)
            os.close(watch)
            ended.set_result(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        loop.add_reader(watch, reap)
        await asyncio.wait([ready, ended], timeout=60, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            raise SystemExit(f"the daemon does not start: {ended.result() if ended.done() else 'not ready in 60 s'}")

    async def stop(self):
        """SIGTERM, and the status of its end."""
        os.kill(self.pid, signal.SIGTERM)
        return await asyncio.wait_for(self.ended, 60)

    def hang_up(self):
        os.kill(self.pid, signal.SIGHUP)

    async def order(self, words):
        reader, writer = await asyncio.open_unix_connection(self.control)
        writer.write(words.encode() + b"\n")
        reply = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return reply.decode()
