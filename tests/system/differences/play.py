#!/usr/bin/env python3
"""Plays every session to the Python milter and to gatepost, and compares what they say and what they ask.

Both are processes of their own, spoken to over Unix sockets as a mail server speaks, and both read the same env
file. A session is compared step by step up to the step at which their verdicts part: from there on a mail
server would say different things to them. Mail that only gatepost lets in goes on with it alone.
"""

import argparse
import os
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(1, os.path.join(HERE, "..", "libmilter"))

# pylint: disable=wrong-import-position
from answers import PATIENT
from compare import Ended, Peer, Silent
from difference import said, words_of
from mta import BITS, packet, strings
from nameserver import NameServer
from page import page
from reasons import REASONS
from sessions import GENERATED, generated
from corners import corners

# Every difference of every session, with what both said or asked, and its reason.
FOUND = os.path.join(HERE, "found.txt")
INDENT = "    "
PREFIX = "SPAMHAUS_DQS_"
PYTHON, GATEPOST = "127.0.0.1", "127.0.0.2"
STAGES = {
    "C": "CONNECT",
    "H": "HELO",
    "M": "MAIL",
    "R": "RCPT",
    "E": "end of message",
    "A": "RSET",
    "start": "start",
    "whole": "the session",
}
# What gatepost is told besides: it probes nothing, speaks as the Python milter does, unless a session wants otherwise.
OWN = {"PROBE_INTERVAL": "0", "REPLY_STYLE": "python", "SANDBOX": "off", "LOG_LEVEL": "debug"}
# Longest wait for an answer; the Python milter may need 5 s for one.
PATIENCE = 12
# Seconds from which a step of gatepost's may have had another datagram: half of what it waits for at the least before
# it asks again (src/dns/hedge.rs).
SLOW = 0.05
NOBODY = 65534
# What an answer means for the questions of the steps after it.
LATER = {
    "error": "resting",
    "error-and-listed": "resting",
    "rewritten": "resting",
    "rewritten-and-listed": "resting",
    "misuse": "again",
    "silence": "again",
    "stranger": "again",
    "garbage": "again",
    "servfail": "again",
    "formerr": "again",
}


@dataclass
class Seen:
    """What one program did at one step."""

    verdict: str = "continue"
    text: str = ""
    # Where, if it is about a whole session.
    at: str = ""
    # What becomes of the mail later on, if only this program lets it in here and does not just let it in there.
    later: str = ""
    marks: tuple = ()
    asked: Counter = field(default_factory=Counter)
    took: float = 0.0
    late: bool = False


class Program:
    """One of the two, with the settings of a session."""

    def __init__(self, name, command, address, arguments):
        self.name, self.command, self.address = name, command, address
        self.key, self.directory = arguments.key, arguments.directory
        self.process, self.settings, self.status, self.spoilt = None, None, None, False
        self.socket = os.path.join(self.directory, name + ".sock")
        self.log = open(os.path.join(arguments.log, name + ".log"), "ab")

    def start(self, settings):
        """Starts it, and waits until it listens or ends."""
        self.stop()
        environment = {
            "PATH": os.environ["PATH"],
            PREFIX + "ENV_FILE": os.path.join(self.directory, "env"),
            PREFIX + "LISTEN": "unix:" + self.socket,
            PREFIX + "NAMESERVERS": self.address,
        }
        if "NAMESERVERS" in settings:
            environment.pop(PREFIX + "NAMESERVERS")
        self.process = subprocess.Popen(
            self.command, env=environment, stdout=self.log, stderr=self.log, user=NOBODY, group=NOBODY, extra_groups=[]
        )
        self.settings, self.status = settings, None
        end = time.monotonic() + 20
        while time.monotonic() < end:
            self.status = self.process.poll()
            if self.status is not None:
                return
            try:
                Peer(self.socket).socket.close()
                return
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.005)
        raise SystemExit(f"{self.name} does not listen")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if os.path.exists(self.socket):
            os.unlink(self.socket)


class Connection:
    """The mail server's side of one connection to one program."""

    def __init__(self, program):
        self.peer = Peer(program.socket, PATIENCE)
        self.peer.send(packet("O", struct.pack(">III", 6, 0x1FF, 0x1FFFFF)))
        self.agreed = struct.unpack(">III", self.peer.packet()[1][:12])[2]

    def step(self, step):
        if step.code == "A":
            self.peer.send(packet("A"))
            return Seen()
        if step.code == "E":
            return self.message()
        if step.code == "C":
            rest = b"" if step.family == "U" else struct.pack(">H", 4025) + step.octets + b"\0"
            return self.event("C", strings(step.name) + step.family.encode() + rest, step.macros)
        return self.event(step.code, strings(step.octets), step.macros)

    def message(self):
        seen = Seen()
        for code, data in (("T", b""), ("L", strings("Subject", "hello")), ("N", b""), ("B", b"Hello\r\n")):
            seen = self.event(code, data)
            if seen.verdict != "continue":
                return seen
        seen = self.event("E", b"")
        # Nothing follows: to let it in is the same in either word.
        return replace(seen, verdict="continue") if seen.verdict == "accept" else seen

    def event(self, code, data, macros=None):
        declined, silent = BITS[code]
        if self.agreed & declined:
            return Seen()
        pairs = [text for pair in (macros or {}).items() for text in pair]
        before = packet("D", code.encode() + strings(*pairs)) if pairs else b""
        try:
            self.peer.send(before + packet(code, data))
            packets = [] if self.agreed & silent else self.peer.answer()
        except Ended:
            return Seen("closed")
        except Silent:
            return Seen("silent")
        if not packets:
            return Seen()
        marks = tuple(sorted(mark(code, data) for code, data in packets[:-1]))
        code, data = packets[-1]
        if code == "y":
            status, enhanced, text = data.rstrip(b"\0").decode("latin-1").split(" ", 2)
            return Seen(f"{status} {enhanced}", text, marks=marks)
        return Seen({"c": "continue", "a": "accept", "r": "reject", "t": "tempfail", "d": "discard"}[code], marks=marks)


def mark(code, data):
    """What is done to a message beside the verdict, in words."""
    words = data[4:] if code == "i" else data
    texts = [text.decode("latin-1") for text in words.rstrip(b"\0").split(b"\0")]
    if code in "hi":
        place = f" at {struct.unpack('>I', data[:4])[0]}" if code == "i" else ""
        return f"header{place} {': '.join(texts)}"
    return " ".join([{"q": "quarantine"}.get(code, code), *texts])


def play(session, programs, server):
    """The code of each step, its tags, and what was seen of both."""
    for program in programs:
        server.take(program.address)
    server.play(session.script)
    patient = {subject for zone in session.script.values() for subject, words in zone.items() if words.split()[0] in PATIENT}
    lifetime = float(session.settings.get("DNS_LIFETIME", 1.8))
    with ThreadPoolExecutor(2 * session.times) as pool:
        crowd = [[Connection(program) for _ in range(session.times)] for program in programs]

        def take_step(connections, step):
            begun = time.monotonic()
            seen = list(pool.map(lambda connection: connection.step(step), connections))[-1]
            seen.took = time.monotonic() - begun
            seen.late = seen.took > lifetime + 1
            return seen

        with ThreadPoolExecutor(2) as both:
            steps, refused, earlier = [], False, frozenset()
            for place, step in enumerate(session.steps):
                if refused and step.code != "A":
                    continue
                tags = step.tags | earlier
                pair = list(both.map(lambda connections: take_step(connections, step), crowd))
                steps.append((step.code, tags, pair))
                for program, seen in zip(programs, pair):
                    seen.asked = evened(server.take(program.address), patient, session.times, seen.took > SLOW)
                earlier |= {LATER[tag.partition(":")[2]] for tag in step.tags if tag.partition(":")[2] in LATER}
                earlier |= step.tags & {"client:socket"}
                same, let_in = pair[0].verdict == pair[1].verdict, pair[0].verdict in ("continue", "accept")
                # A refused message is not the end of the session.
                refused = same and not let_in and step.code == "M"
                if not same and not let_in and pair[1].verdict == "continue":
                    pair[1].later = rest(crowd[1][0], session.steps[place + 1 :])
                if not same or not (let_in or refused):
                    break
        for connection in sum(crowd, []):
            connection.peer.socket.close()
    return steps


def rest(connection, steps):
    """The first word of a program that goes on alone, if it is another one than to let the mail in."""
    for step in steps:
        seen = connection.step(step)
        if seen.verdict not in ("continue", "accept") or seen.marks:
            return f"{', '.join(seen.marks) or said(seen)} at {STAGES[step.code]}"
    return ""


def play_whole(session, programs, server):
    """As one step: where each refuses, and what it asks in all. gatepost asks early what it may need at a later
    stage, so that nobody can tell at which step a question falls."""
    for program in programs:
        server.take(program.address)
    server.play(session.script)
    pair = []
    for program in programs:
        connection, whole, longest = Connection(program), Seen(), 0.0
        for place, step in enumerate(session.steps):
            begun = time.monotonic()
            seen = connection.step(step)
            longest = max(longest, time.monotonic() - begun)
            if seen.verdict not in ("continue", "accept"):
                number = sum(one.code == step.code for one in session.steps[: place + 1])
                whole = replace(seen, at=STAGES[step.code] + (f", number {number}" if number > 1 else ""))
                break
        connection.peer.socket.close()
        whole.asked = evened(server.take(program.address), (), 1, longest > SLOW)
        pair.append(whole)
    return [("whole", frozenset().union(*(step.tags for step in session.steps)), pair)]


def evened(asked, patient, times, slow):
    """Names and how often they were asked: once or more often, where that is a matter of time."""
    counted = Counter()
    for name in asked:
        subject = name.removesuffix(" by TCP").split(" ", 1)[-1]
        # After a pause of the machine there may have been a second try.
        is_patient = any(subject == known or subject.endswith("." + known) for known in patient)
        if is_patient or slow and times == 1:
            counted[name.removesuffix(" by TCP")] = 1
        else:
            counted[name] += 1
    if times > 1:
        return Counter({name: 1 if count == 1 else 2 for name, count in counted.items()})
    return counted


def start(session, programs, server):
    """Has both ready for a session; what came of it is a step of its own if it is about that."""
    path = os.path.join(programs[0].directory, "env")
    with open(path, "w", encoding="utf-8") as file:
        # Of the group that both run as: it holds a key.
        os.chown(path, 0, NOBODY)
        os.chmod(path, 0o640)
        for name, value in ({"API_KEY": programs[0].key} | OWN | session.settings).items():
            file.write(f"{PREFIX}{name}={value}\n")
    python, gatepost = programs
    if python.settings != session.settings or session.fresh:
        python.start(session.settings)
    if gatepost.settings != session.settings or gatepost.spoilt and not session.follows:
        gatepost.start(session.settings)
    gatepost.spoilt = gatepost.spoilt and session.follows or session.spoils
    return [Seen("starts" if program.status is None else f"ends with status {program.status}") for program in programs]


def differences(session, programs, server):
    """The differences of a session: stage, word, tags, and what each did."""
    started = start(session, programs, server)
    if any(seen.verdict != "starts" for seen in started) or "start" in session.tags:
        for program in programs:
            program.settings = None
        return list(words_of("start", session, frozenset(), *started))
    found = []
    way = play_whole if "ENFORCE_STAGE" in session.settings else play
    before = Counter()
    for code, tags, (python, gatepost) in way(session, programs, server):
        found += words_of(STAGES[code], session, tags, python, gatepost, before)
        before += gatepost.asked
    return found


def main():
    parser = argparse.ArgumentParser()
    for name in ("suite", "key", "programs", "directory", "log", "page"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    suite, begun = arguments.suite, time.monotonic()
    server = NameServer(arguments.key, [PYTHON, GATEPOST])
    python = ["/usr/bin/python3", "-B", os.path.join(arguments.programs, "python_milter.py")]
    gatepost = [os.path.join(arguments.programs, "gatepost"), "run"]
    programs = [Program("python", python, PYTHON, arguments), Program("gatepost", gatepost, GATEPOST, arguments)]
    sessions = [session for session in [*generated(), *corners()] if arguments.only in session.title]
    explained, steps, last = {reason.name: [] for reason in REASONS}, 0, 0.0
    if len({session.title for session in sessions}) < len(sessions):
        raise SystemExit("two sessions have one title")
    # Equal settings one after the other: the Python milter takes its time to start.
    order = {}
    for place, session in enumerate(sessions):
        order.setdefault(str(session.settings), place)
    sessions.sort(key=lambda session: order[str(session.settings)])
    known, new = read_found(), {}
    for session in sessions:
        # The only wait that nothing can shorten: how long a failure is believed.
        time.sleep(max(0.0, last + session.later - time.monotonic()) if session.later else 0)
        problems, listed = [], []
        for difference in differences(session, programs, server):
            reason = next((reason for reason in REASONS if reason.explains(difference)), None)
            if reason:
                explained[reason.name].append(difference)
                listed.append(difference.line(reason.name))
            else:
                problems.append("not on the list: " + difference.shown())
            if arguments.verbose:
                print(f"    {reason and reason.name}: {difference.shown()}")
        last = time.monotonic()
        if not arguments.write:
            before, now = Counter(known.get(session.title, [])), Counter(listed)
            problems += [f"not in found.txt: {line}" for line in (now - before).elements()]
            problems += [f"occurs no longer: {line}" for line in (before - now).elements()]
        if listed:
            new[session.title] = listed
        print(f"{'FAIL' if problems else 'ok'} {suite}: {session.title}", flush=True)
        for problem in problems:
            print("    " + problem)
    for program in programs:
        program.stop()
    if not arguments.only:
        gone = sorted(known.keys() - {session.title for session in sessions})
        finish(arguments, explained, len(sessions), new, [] if arguments.write else gone)
    print(f"{len(sessions)} sessions in {time.monotonic() - begun:.0f} s")


def read_found():
    """The differences of each session, as they were when the page was written: by title, each a line."""
    found = {}
    with open(FOUND, encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line.startswith(INDENT):
                found[title].append(line.removeprefix(INDENT))
            else:
                title = line
                found[title] = []
    return found


def write_found(found):
    with open(FOUND, "w", encoding="utf-8") as file:
        for title, lines in sorted(found.items()):
            file.write("".join([title + "\n", *(INDENT + line + "\n" for line in lines)]))


def finish(arguments, explained, count, found, gone):
    """What is to be said of the whole: every reason is one, and the page is what would be written."""
    for title in gone:
        print(f"FAIL {arguments.suite}: found.txt has a session that is none: {title}")
    for reason in REASONS:
        number = len(explained[reason.name])
        print(
            f"{'ok' if number else 'FAIL'} {arguments.suite}: listed difference: {reason.name}"
            + ("" if number else ": occurs no longer")
        )
    text = page(explained, REASONS, count, GENERATED)
    if arguments.write:
        with open(arguments.page, "w", encoding="utf-8") as file:
            file.write(text)
        write_found(found)
    with open(arguments.page, encoding="utf-8") as file:
        same = file.read() == text
    print(f"{'ok' if same else 'FAIL'} {arguments.suite}: docs/differences.md holds what was found")
    if not same:
        with open(os.path.join(arguments.log, "differences.md"), "w", encoding="utf-8") as file:
            file.write(text)
        print("    compare it with differences.md in the results of this suite; write=1 tests/run differences makes it anew")


main()
