"""A daemon under test, what an MTA says to it, and what can be measured of it from outside."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(1, os.path.join(HERE, "..", "libmilter"))

# pylint: disable=wrong-import-position
from compare import Ended, Peer, Silent
from mta import packet, strings
from nameserver import Names
from table import Wrong

__all__ = ["Ended", "Silent", "Names", "Wrong", "packet", "strings"]
PREFIX = "SPAMHAUS_DQS_"
NOBODY = 65534
# Longest wait for an answer that must come: the daemon's own budget for a stage is 2 s.
PATIENCE = 15
LISTED, CLEAN = "8.8.2.2", "8.8.3.1"
REVERSED = "2.2.8.8.zen"


def expect(condition, words):
    if not condition:
        raise Wrong(words)


def until(condition, seconds, words):
    """Waits for a condition, and gives the seconds that it took."""
    begun = time.monotonic()
    while not condition():
        expect(time.monotonic() - begun < seconds, f"{words}: not within {seconds} s")
        time.sleep(0.005)
    return time.monotonic() - begun


def quantile(times, part):
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


def milliseconds(seconds):
    return f"{seconds * 1000:.2f} ms" if seconds < 0.1 else f"{seconds:.2f} s"


class Wire(Peer):
    """A connection of an MTA, over the Unix socket, or over TCP if that is what the daemon has."""

    def __init__(self, daemon, small=False):
        if daemon.port:
            opened = socket.socket()
            if small:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            super().__init__(("127.0.0.1", daemon.port), PATIENCE, opened)
        else:
            super().__init__(daemon.path, PATIENCE)

    def answer(self):
        """The last word to an event, with what it says."""
        while True:
            code, data = self.packet()
            if code in "Ocartdys":
                return code, data

    def ask(self, code, data=b"", before=b""):
        self.send(before + packet(code, data))
        return self.answer()

    def greet(self, version=6, actions=0x1FF, protocol=0):
        return self.ask("O", struct.pack(">III", version, actions, protocol))

    def connect(self, client=CLEAN, family="4", name="client.example"):
        return self.ask("C", connecting(client, family, name))

    def helo(self, name="mx.clean.example"):
        return self.ask("H", strings(name))

    def mail(self, sender="<u@clean.example>"):
        return self.ask("M", strings(sender))

    def rcpt(self, recipient="<r@here.example>"):
        return self.ask("R", strings(recipient))

    def ends(self):
        """Whether the connection is closed, after whatever it says before."""
        try:
            while True:
                self.fill()
        except Ended:
            return True
        except Silent:
            return False

    def close(self):
        self.socket.close()


def connecting(client=CLEAN, family="4", name="client.example"):
    return strings(name) + family.encode() + (struct.pack(">H", 4025) + strings(client) if family != "U" else b"")


def session(daemon, client=CLEAN, helo="mx.clean.example", sender="<u@clean.example>"):
    """The codes of CONNECT, HELO and MAIL, up to the first that is no "go on"."""
    wire, codes = Wire(daemon), ""
    wire.greet()
    for act, what in ((wire.connect, client), (wire.helo, helo), (wire.mail, sender)):
        codes += act(what)[0]
        if codes[-1] != "c":
            break
    wire.close()
    return codes


def verdict(daemon, client):
    """The answer to a client, and the seconds that it took."""
    wire = Wire(daemon)
    wire.greet()
    begun = time.monotonic()
    code, data = wire.connect(client)
    took = time.monotonic() - begun
    wire.close()
    return code, data, took


class Daemon:
    """gatepost as a process, with its own name server unless told otherwise."""

    def __init__(self, stage, name, settings=None, script=None, names=None, tcp=False, notify=None, limits=None, toml=None, log=None):
        self.name, self.stage, self.port = name, stage, stage.next_port() if tcp else None
        self.own = names is None
        self.names = names or Names(stage.next_address())
        self.names.script(script or {REVERSED: "127.0.0.2"})
        self.directory = os.path.join(stage.directory, name)
        os.makedirs(self.directory)
        os.chown(self.directory, NOBODY, NOBODY)
        self.path = os.path.join(self.directory, "milter.sock")
        self.control = os.path.join(self.directory, "control.sock")
        self.env = os.path.join(self.directory, "env")
        self.file = os.path.join(self.directory, "gatepost.toml")
        self.write_env(stage.key)
        self.settings = {
            "ENV_FILE": self.env,
            "LISTEN": f"inet:{self.port}@127.0.0.1" if tcp else "unix:" + self.path,
            "CONTROL_LISTEN": "unix:" + self.control,
            "NAMESERVERS": self.names.address,
            # Counts of questions must be those of sessions.
            "PROBE_INTERVAL": "0",
        } | (settings or {})
        self.command = [stage.program, "run"]
        if toml is not None:
            with open(self.file, "w", encoding="utf-8") as file:
                file.write(toml)
            self.command += ["--config", self.file]
        self.log_path = log or os.path.join(stage.log, f"gatepost-{name}.log")
        self.notify, self.limits = notify, limits
        self.start()

    def write_env(self, key, more=""):
        with open(self.env + ".new", "w", encoding="utf-8") as file:
            os.chown(self.env + ".new", 0, NOBODY)
            os.chmod(self.env + ".new", 0o640)
            file.write(f"{PREFIX}API_KEY={key}\n{more}")
        os.rename(self.env + ".new", self.env)

    def environment(self):
        environment = {"PATH": os.environ["PATH"]} | {PREFIX + name: value for name, value in self.settings.items()}
        return environment | (self.notify or {})

    def start(self, manager=None):
        """Another process of it, which gets what a service manager keeps for it."""
        command, passed = manager.pass_on(self.command) if manager else (self.command, ())
        with open(self.log_path, "ab") as log:
            before = log.tell()
            self.process = subprocess.Popen(
                command, env=self.environment(), stdout=log, stderr=log, user=NOBODY, group=NOBODY,
                extra_groups=[], preexec_fn=self.limits, pass_fds=passed,
            )
        until(lambda: "event=ready" in self.log()[before:] or self.process.poll() is not None, 20, "it starts")
        expect(self.process.poll() is None, "it does not start: " + self.log()[-300:])

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()

    def lines(self, *words):
        return [line for line in self.log().splitlines() if all(word in line for word in words)]

    def told(self, count, *words):
        """So many lines with these words, as soon as they are written: by a thread of their own, and so a little later."""
        until(lambda: len(self.lines(*words)) >= count, 5, f"{count} lines with {words}")
        lines = self.lines(*words)
        expect(len(lines) == count, f"{count} lines with {words}: {lines}")
        return lines

    def loud(self):
        """Lines above "info"."""
        return [line for line in self.log().splitlines() if re.match(r"\S+ +(WARN|ERROR) ", line)]

    def order(self, words):
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(PATIENCE)
            control.connect(self.control)
            control.sendall(words.encode() + b"\n")
            reply = b""
            while octets := control.recv(1 << 16):
                reply += octets
        return reply.decode()

    def status(self):
        return json.loads(self.order("status"))

    def sessions(self, what):
        return self.status()["sessions"][what]

    def zone(self, name):
        return next(zone for zone in self.status()["zones"] if zone["zone"] == name)

    def metric(self, name, **labels):
        """The sum of all samples that have these labels."""
        total = 0.0
        for line in self.order("metrics").splitlines():
            if line.startswith((name + "{", name + " ")) and all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return int(total)

    def resident(self, field="VmRSS"):
        """KiB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(next(line.split()[1] for line in file if line.startswith(field + ":")))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def signal(self, number):
        self.process.send_signal(number)

    def quiet(self):
        """Waits until all sessions have ended."""
        until(lambda: self.sessions("open") == 0, 20, "all sessions have ended")

    def serves(self):
        """As on a good day: what is listed is refused, what is not comes in."""
        expect(session(self) == "ccc", "a clean session comes in")
        expect(session(self, LISTED) == "y", "a listed client is refused")

    def stop(self):
        """Ends it, as it must end: with status 0, and without ever having panicked."""
        self.stage.peaks[self.name] = self.resident("VmHWM")
        self.signal(signal.SIGTERM)
        status = self.process.wait(20)
        if self.own:
            self.names.close()
        expect(status == 0, f"it ends with status {status}")
        expect("event=panic" not in self.log(), "no panic")


def run(stage, arguments, settings, seconds=20, **more):
    """A command that ends by itself: status, and what it said."""
    environment = {"PATH": os.environ["PATH"]} | {PREFIX + name: value for name, value in settings.items()}
    done = subprocess.run(
        [stage.program, *arguments], env=environment, capture_output=True, timeout=seconds, check=False,
        user=NOBODY, group=NOBODY, extra_groups=[], **more,
    )
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    with open(os.path.join(stage.log, "commands.txt"), "a", encoding="utf-8") as file:
        file.write(f"== {arguments}\n{text}status {done.returncode}\n")
    return done.returncode, text
