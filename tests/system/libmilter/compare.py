#!/usr/bin/env python3
"""Plays the same conversations to a filter on libmilter and to its twin on gatepost, and compares octets.

Every packet that comes back is compared as it stands, after normalise() below, which is the whole list of
what may differ in a legal conversation. What may differ in others is in differences.py, case by case.
"""

import argparse
import os
import random
import re
import socket
import struct
import subprocess
import sys
import time
from collections import Counter

import differences
from mta import OFFERS, Mta, packet

# Longest wait for a packet or for the end of a connection.
PATIENCE = 10
SEEDS = 12

# What the filters want: name, actions, protocol. A bit that is not offered is not agreed to.
PROFILES = [
    ("everything", 0x0FF, 0x000400),
    ("the envelope", 0x000, 0x000370),
    ("the content", 0x033, 0x00070F),
    ("all of it, silently", 0x001, 0x0FF080),
    ("blanks, refused recipients, silence to headers", 0x0FF, 0x180880),
    ("the end of messages", 0x021, 0x00037F),
]


# What the filters have seen: five words, the last of which is about macros.
SEEN = re.compile(rb"((?:seen|X-Seen\0) ?(?:[0-9a-f]{16} ){4})[0-9a-f]{16}")


class Ended(Exception):
    """The peer closed the connection."""


class Silent(Exception):
    """The peer said nothing for too long."""


class Peer:
    """A connection to a filter, here one of the two."""

    def __init__(self, address, patience=PATIENCE, opened=None):
        self.socket = opened or socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience)
        self.socket.connect(address)
        self.input = b""

    def send(self, octets):
        try:
            self.socket.sendall(octets)
        except (BrokenPipeError, ConnectionResetError):
            raise Ended from None

    def fill(self):
        try:
            octets = self.socket.recv(1 << 18)
        except TimeoutError:
            raise Silent from None
        except ConnectionResetError:
            raise Ended from None
        if not octets:
            raise Ended
        self.input += octets

    def packet(self):
        while len(self.input) < 4 or len(self.input) < 4 + struct.unpack(">I", self.input[:4])[0]:
            self.fill()
        size = 4 + struct.unpack(">I", self.input[:4])[0]
        code, data, self.input = self.input[4:5].decode("latin-1"), self.input[5:size], self.input[size:]
        return code, data

    def answer(self, final="Ocartdys"):
        """Packets up to a final one."""
        packets = [self.packet()]
        while packets[-1][0] not in final:
            packets.append(self.packet())
        return packets

    def rest(self):
        """What else comes before the connection ends."""
        try:
            while True:
                self.fill()
        except Ended:
            return self.input


def normalise(packets, event):
    """Evens out what may differ in a legal conversation, which is two things.

    1. PROGRESS is a matter of time: any number of them in a row counts as one.
    2. libmilter shows a callback the macros of earlier messages; gatepost forgets them with their message. The
       last word of what the filters have seen is about macros, and left out where there was an earlier message
       and mail servers do not replace all of its macros.
    """
    packets = [one for n, one in enumerate(packets) if one[0] != "p" or n == 0 or packets[n - 1][0] != "p"]
    if event.stale:
        packets = [(code, SEEN.sub(rb"\1-", data)) for code, data in packets]
    return packets


class Differ(Exception):
    """The two filters said different things."""


def shown(packets):
    return " ".join(f"{code}:{data[:80]!r}" for code, data in packets)


def play(paths, mta, rng, seen):
    """One conversation with both. Raises Differ at the first difference; gives the number of answers."""
    peers = [Peer(path) for path in paths]
    talk, answer, count, history = mta.conversation(), None, 0, ""
    ends = rng.random() < 0.9
    try:
        while True:
            try:
                event = talk.send(answer)
            except StopIteration:
                break
            if event.code == "Q" and not ends:
                break
            parts = [event.before, b"" if event.code == "D" else packet(event.code, event.data)]
            if rng.random() < 0.5:
                parts = [b"".join(parts)]
            history += event.code if event.due else event.code.lower()
            for peer in peers:
                for part in parts:
                    peer.send(part)
            answer = "c"
            if not event.due:
                continue
            try:
                said = [normalise(peer.answer(), event) for peer in peers]
            except (Ended, Silent) as end:
                raise Differ(f"{history}: {type(end).__name__} after {event}") from end
            count += 1
            if said[0] != said[1]:
                answers = f"libmilter: {shown(said[0])}\ngatepost:  {shown(said[1])}"
                raise Differ(f"{history}: {event.code} {event.data[:200]!r}\n{answers}")
            answer = said[0][-1][1] if event.code == "O" else said[0][-1][0]
            for code, _ in said[0]:
                seen[event.code + code] += 1
        rests = [peer.rest() if history.endswith("q") else peer.input for peer in peers]
        if any(rests):
            raise Differ(f"{history}: more was said: {rests}")
    except Ended:
        raise Differ(f"{history}: closed") from None
    finally:
        for peer in peers:
            peer.socket.close()
    return count


class Filters:
    """Both programs with one profile."""

    def __init__(self, arguments, actions, protocol):
        self.paths, self.processes = [], []
        for n, program in enumerate((arguments.filter, arguments.twin)):
            path = os.path.join(arguments.directory, f"{actions:x}-{protocol:x}-{n}.sock")
            log = open(path + ".log", "wb")
            command = [program, "unix:" + path, f"{actions:x}", f"{protocol:x}"]
            self.paths.append(path)
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def __enter__(self):
        end = time.monotonic() + PATIENCE
        for path in self.paths:
            while True:
                try:
                    Peer(path).socket.close()
                    break
                except (FileNotFoundError, ConnectionRefusedError):
                    if time.monotonic() > end:
                        raise SystemExit(f"nobody listens at {path}") from None
                    time.sleep(0.01)
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


def report(suite, title, problems):
    if problems:
        print(f"FAIL {suite}: {title}")
        for problem in problems[:3]:
            print("    " + problem.replace("\n", "\n    "))
    else:
        print(f"ok {suite}: {title}", flush=True)


# Answers that must have been compared at least once: event and code.
WANTED = [event + code for event in "CHMRTLNBE" for code in "carty"] + [event + "d" for event in "MRTLNBE"]
WANTED += ["OO", "Bs", "Uc", "Ur", "Ut", "Uy"] + ["E" + code for code in "himeb+2-qp"]


def main():
    parser = argparse.ArgumentParser()
    for name in ("suite", "filter", "twin", "directory"):
        parser.add_argument("--" + name, required=True)
    arguments = parser.parse_args()
    seen, conversations, answers = Counter(), 0, 0
    for name, actions, protocol in PROFILES:
        with Filters(arguments, actions, protocol) as filters:
            for offer in OFFERS:
                problems, played, heard = [], 0, 0
                for postfix in (True, False):
                    for seed in range(SEEDS):
                        label = f"{name}/{offer[0]}/{'Postfix' if postfix else 'Sendmail'}/{seed}"
                        rng = random.Random(label)
                        try:
                            heard += play(filters.paths, Mta(rng, postfix, offer), rng, seen)
                        except Differ as problem:
                            problems.append(f"{label}\n{problem}")
                        played += 1
                report(arguments.suite, f"{name}, {offer[0]}: {played} conversations, {heard} answers alike", problems)
                conversations, answers = conversations + played, answers + heard
            if name == "everything":
                for title, problems in differences.check(filters.paths, Peer, Ended):
                    report(arguments.suite, title, problems)
    missing = [pair for pair in WANTED if not seen[pair]]
    report(arguments.suite, f"every legal answer was compared in {conversations} conversations, {answers} answers",
           [f"never heard: {missing}"] if missing else [])


if __name__ == "__main__":
    main()
