#!/usr/bin/env python3
"""Has rbldnsd and gatepost read the same list files, and compares what they say about thousands of subjects.

Compared are the set of A values and the set of texts. Known to differ, and not made here: names with escapes
(no mail domain has any), IPv4-mapped addresses in ip6trie (gatepost takes them for IPv4), control characters,
a last line that may be cut, and files most lines of which are no entries (gatepost refuses them), $TIMESTAMP
(gatepost keeps no time), and several TXT records of one name in the format generic.
"""

import argparse
import ipaddress
import os
import random
import re
import socket
import struct
import subprocess
import sys
import time

PORT = 5399
# Generated files of each format, and subjects asked about for each file.
FILES = 24
SUBJECTS = 400
# Longest wait for an answer, and for rbldnsd to load.
PATIENCE = 2

A, TXT = 1, 16


class Dice(random.Random):
    """What the files are made of. The addresses and names are few, so that entries meet."""

    def ip4(self):
        if self.random() < 0.03:
            return self.choice(["0.0.0.0", "255.255.255.255", "0.0.0.1", "255.255.255.254", "127.0.0.2"])
        return f"10.{self.randrange(3)}.{self.randrange(3)}.{self.randrange(256)}"

    def ip6(self):
        if self.random() < 0.03:
            return self.choice(["::", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"])
        words = [0x2001, 0xDB8, *(self.choice([0, 0, 1, 2, 0xFFFF]) for _ in range(5)), self.randrange(8)]
        return str(ipaddress.IPv6Address(b"".join(struct.pack(">H", word) for word in words)))

    def name(self):
        return ".".join([*(self.choice("abc") for _ in range(self.randrange(1, 5))), "example"])

    def network(self, address, family):
        """An address and a prefix length that fit, or rarely do not."""
        full = 32 if family == 4 else 128
        bits = self.choice([full, full - 1, full - 2, full - 8, full - 9, full - 16, full // 2, self.randrange(full + 1)])
        network = ipaddress.ip_network(f"{address}/{bits}", strict=False)
        if self.random() < 0.05:
            return f"{address}/{bits}"
        return str(network)

    def range4(self):
        first, last = sorted([ipaddress.IPv4Address(self.ip4()), ipaddress.IPv4Address(self.ip4())])
        if self.random() < 0.05:
            first, last = last, first
        octets, ends = str(first).split("."), str(last).split(".")
        keep = self.randrange(1, 5)
        short = ".".join(octets[:keep])
        return self.choice(
            [
                f"{first}-{last}",
                f"{short}-{'.'.join(ends[:keep])}",
                f"{short}-{self.randrange(256)}",
                f"{first}-{self.randrange(256)}",
                short,
                f"{short}/{8 * keep}",
                f"{short}/{self.randrange(33)}",
            ]
        )

    def value(self):
        code = self.randrange(2, 6)
        return self.choice(
            [
                "", "", "", f" :{code}:", f" :{code}", f"\t:127.0.1.{code}:text {code}", f" : {code}: odd", f":{code}:near",
                " bare text", " to $ and $1 or $$ and $2", " # a comment", ";near", "  =own $", f" :{code}:=own $=",
                f" :{code}:$=", f" :1.{code}:", f" :1.2.{code}:", " :0:", f" :{code} x", " :256:", " :x:", " :", "  : :",
            ]
        )  # fmt: skip

    def line(self, entries):
        chance = self.random()
        if chance < 0.05:
            return self.choice(["", "# a comment", "; another", "   ", "#$Id: x $", "#"])
        if chance < 0.10:
            return ":" + self.choice(["2:", "3:default $", "127.0.0.9", "4:=x $1", "0:", "x", "5:$=", " 6 : y", "$TTL 300"])
        if chance < 0.12:
            return self.choice(["$TTL 300", "$SOA 0 a.example b.example 0 1 2 3 4", "$NS 0 a.example", "$TIMESTAMP 2005:01:01"])
        if chance < 0.14:
            return self.choice(["$1 one", "$2 two $", "$= base $= of $", "#$1 uno", "$UNKNOWN x", "$1", "$x"])
        if chance < 0.15:
            return self.choice(["what is this", "!", "-", "10", "10.0.0.256", "..", "2001", "a b c d", "1.2.3.4.5", "1::2::3"])
        exclude = self.choice(["", "", "", "", "!", "! "])
        return self.choice(["", "", " ", "\t"]) + exclude + entries() + self.value() + self.choice(["", "", " "])

    def generic(self):
        if self.random() < 0.1:
            return self.choice(["# a comment", "@ A 127.0.0.9", "$TTL 300", "a.example", "a.example A", "b.example CNAME x"])
        name = self.choice([self.name, lambda: self.name().upper(), lambda: ".".join(reversed(self.ip4().split(".")))])()
        record = self.choice(
            ["A 127.0.0.2", "a 127.0.0.3", "IN A 127.0.0.4", "300 A 127.0.0.5", "5m in a 127.2", "A 7 rest", "MX 10 mx.example", "A x"]
        )
        return f"{name}{self.choice([' ', '  ', chr(9)])}{record}"

    def file(self, format):
        """The text of a list."""
        count = self.choice([3, 10, 40, 150])
        entries = {
            "ip4set": lambda: self.choice([self.ip4, self.range4, lambda: self.network(self.ip4(), 4)])(),
            "ip4trie": lambda: self.choice([self.ip4, lambda: self.network(self.ip4(), 4), lambda: f"10.{self.randrange(3)}"])(),
            "ip6trie": lambda: self.choice(
                [self.ip6, lambda: self.network(self.ip6(), 6), lambda: "2001:db8", lambda: "2001:db8:0:1", lambda: "2001:db8::/32"]
            )(),
            "dnset": lambda: self.choice(["", "", ".", "*."]) + self.name() + self.choice(["", "", "."]),
        }
        if format == "generic":
            lines = [self.generic() for _ in range(count)]
            # One text for a name: of several gatepost keeps the first.
            lines += [f'{name} TXT "text of {name}"' for name in sorted({self.name() for _ in range(8)})]
            self.shuffle(lines)
        else:
            lines = []
            if self.random() < 0.2:
                lines.append(self.choice(["$MAXRANGE4 /24", "$MAXRANGE4 100", "$MAXRANGE4 /16"]))
            lines += [self.line(entries[format]) for _ in range(count)]
        good = {"ip4set": "10.9.9.{}", "ip4trie": "10.9.9.{}", "ip6trie": "2001:db9::{}", "dnset": "{}.good.example", "generic": "{}.good.example A 127.0.0.2"}[format]  # fmt: skip
        # Neither may be refused for having more bad lines than good ones.
        lines += [good.format(n) for n in range(count)]
        return "\n".join(lines) + "\n"

    def subject(self, format):
        if format in ("ip4set", "ip4trie"):
            return self.ip4()
        if format == "ip6trie":
            return self.ip6()
        return self.name() if self.random() < 0.9 else self.ip4()


def question(subject):
    """The name to be asked for, below the zone."""
    try:
        return ipaddress.ip_address(subject).reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    except ValueError:
        return subject


class Server:
    """rbldnsd over UDP."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", PORT))
        self.socket.settimeout(PATIENCE)
        self.number = 0

    def ask(self, name, kind):
        """All data of the answer's records."""
        self.number = (self.number + 1) & 0xFFFF
        encoded = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
        edns = b"\0" + struct.pack(">HHIH", 41, 4096, 0, 0)
        header = struct.pack(">HHHHHH", self.number, 0, 1, 0, 0, 1)
        self.socket.send(header + encoded + struct.pack(">HH", kind, 1) + edns)
        while True:
            packet = self.socket.recv(65536)
            number, flags, _, answers, _, _ = struct.unpack(">HHHHHH", packet[:12])
            if number == self.number:
                break
        code = flags & 15
        if code not in (0, 3):
            raise RuntimeError(f"{name}: response code {code}")
        at, data = 12 + len(encoded) + 4, set()
        for _ in range(answers):
            # The name is a pointer to the question.
            record, _, _, length = struct.unpack(">HHIH", packet[at + 2 : at + 12])
            at += 12
            if record == kind:
                data.add(packet[at : at + length])
            at += length
        return data

    def says(self, subject, zone):
        name = f"{question(subject)}.{zone}"
        values = {str(ipaddress.IPv4Address(data)) for data in self.ask(name, A)}
        texts = {data[1:].decode() for data in self.ask(name, TXT)} if values else set()
        return values, texts


def ours(answers, format, path, subjects):
    """What gatepost says, subject by subject; or the reason why it refuses the file."""
    run = subprocess.run([answers, format, path], input="\n".join(subjects), capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return run.stderr
    said = {}
    for line in run.stdout.splitlines():
        subject, values, *texts = line.split("\t")
        said[subject] = (set(filter(None, values.split(","))), set(texts))
    return said


def main():
    parser = argparse.ArgumentParser()
    for option in ("suite", "answers", "files", "directory"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = os.path.join(options.directory, "lists")
    os.mkdir(folder)
    lists = []
    for format in ("ip4set", "ip4trie", "ip6trie", "dnset", "generic"):
        for number in range(FILES):
            dice = Dice(f"{options.seed} {format} {number}")
            lists.append((format, f"{format}-{number}", dice.file(format), dice))
    for name in sorted(os.listdir(options.files)):
        with open(os.path.join(options.files, name), encoding="utf-8") as file:
            lists.append((re.split(r"[-.]", name)[0], name.replace(".", "-"), file.read(), Dice(name)))
    for _, name, text, _ in lists:
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    zones = [f"{name}.test:{format}:{name}" for format, name, _, _ in lists]
    log = open(os.path.join(options.directory, "log", "rbldnsd.txt"), "w", encoding="utf-8")
    server = subprocess.Popen(
        ["rbldnsd", "-n", "-u", "nobody", "-w", folder, "-b", f"127.0.0.1/{PORT}", *zones], stdout=log, stderr=log
    )
    try:
        compare(options, folder, lists)
    finally:
        server.terminate()
        server.wait()


def compare(options, folder, lists):
    server, end = Server(), time.monotonic() + 20
    while True:
        try:
            server.ask(f"x.{lists[-1][1]}.test", A)
            break
        except (OSError, RuntimeError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
    asked, listed, wrong = {}, {}, {}
    for format, name, text, dice in lists:
        # Addresses and names that a file written by hand holds, and those around them.
        words = re.findall(r"[0-9.]{7,}|[0-9a-f]*:[0-9a-f:]+|[\w.-]+\.\w+", text)
        subjects = {dice.subject(format) for _ in range(SUBJECTS)} | set(filter(None, map(neighbour, words)))
        said = ours(options.answers, format, os.path.join(folder, name), sorted(subjects))
        kind = f"{format}, generated files" if re.search(r"-\d+$", name) else f"{name}, written by hand"
        asked.setdefault(kind, 0), listed.setdefault(kind, 0), wrong.setdefault(kind, [])
        if isinstance(said, str):
            wrong[kind].append(f"{name} is refused: {said}")
            continue
        for subject in sorted(subjects):
            theirs = server.says(subject, f"{name}.test")
            asked[kind] += 1
            listed[kind] += bool(theirs[0])
            if theirs != said[subject]:
                wrong[kind].append(f"{name}: {subject}: rbldnsd {theirs}, gatepost {said[subject]}")
    for kind, count in asked.items():
        title = f"{kind}: {count} subjects, {listed[kind]} of them listed, get the same answers"
        # A comparison in which all or nothing is listed would show little.
        if not wrong[kind] and 0 < listed[kind] < count:
            print(f"ok {options.suite}: {title}")
        else:
            print(f"FAIL {options.suite}: {title}")
            for line in wrong[kind][:10]:
                print(f"    {line}")
    sys.stdout.flush()


def neighbour(word):
    """A subject made of a word of a file: the address behind it, or the name."""
    try:
        address = ipaddress.ip_address(word)
        return str(address + 1) if not (address.version == 6 and address.ipv4_mapped) else None
    except ValueError:
        pass
    name = word.strip(".").lower()
    legal = re.fullmatch(r"([a-z0-9_-]{1,63}\.)*[a-z][a-z0-9_-]*", name)
    return name if legal else None


if __name__ == "__main__":
    main()
