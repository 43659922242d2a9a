#!/usr/bin/python3
"""Times real sessions with Sendmail, with a filter and without one: what the filter adds, and whether a step of 40 ms is there.

Sendmail leaves Nagle's algorithm on and sends macros and command apart: where the filter's kernel holds the
acknowledgement of the first back, each command takes 40 ms more. A client waits for each reply; sessions with the
filter and without it take turns, so that whatever else the machine does meets both. A busy one makes sessions with the
filter wait longer all the same, since more processes take part in them: there the best waits tell what the filter adds,
and the kernel counts the acknowledgements that it held back.
"""

import argparse
import socket
import statistics
import sys
import time

SESSIONS = 50
# The machine may be busy, but what the filter costs is there every time.
ROUNDS = 5
# What a filter may add to a session, in seconds.
ADDED = 0.005
COMMANDS = ["EHLO mail.clean.example", "MAIL FROM:<u@clean.example>", "RCPT TO:<u@example.org>", "RSET",
            "MAIL FROM:<v@clean.example>", "RCPT TO:<v@example.org>"]


def wait(file):
    """Seconds until the end of a reply."""
    begun = time.perf_counter()
    while (line := file.readline())[3:4] == b"-":
        pass
    if line[:1] != b"2":
        raise SystemExit(f"Sendmail says {line!r}")
    return time.perf_counter() - begun


def session(port, client):
    """How long the client waited for each reply: the greeting, then the commands."""
    with socket.create_connection(("127.0.0.1", port), 15, (client, 0)) as stream, stream.makefile("rb") as file:
        waits = [wait(file)]
        for command in COMMANDS:
            stream.sendall(command.encode() + b"\r\n")
            waits.append(wait(file))
        stream.sendall(b"QUIT\r\n")
        wait(file)
    return waits


def held_back():
    """How many acknowledgements the kernel of this network has delayed until their time was over."""
    with open("/proc/net/netstat", encoding="ascii") as file:
        names, values = (line.split() for line in file if line.startswith("TcpExt:"))
    return int(dict(zip(names, values))["DelayedACKs"])


def shown(seconds):
    return f"{seconds * 1000:.2f} ms"


class Played:
    """The sessions so far at one port: for each reply the shortest wait, and the acknowledgements that were held back."""

    def __init__(self, port, client):
        self.port, self.client = port, client
        self.round, self.best, self.held = [], [float("inf")] * (len(COMMANDS) + 1), 0

    def play(self):
        before = held_back()
        waits = session(self.port, self.client)
        self.held += held_back() - before
        self.round.append(sum(waits))
        self.best = list(map(min, self.best, waits))


def play(filtered, plain):
    """One round: what the filter adds to the median session, or to the best waits of all rounds if that is less."""
    filtered.round, plain.round = [], []
    for _ in range(SESSIONS):
        filtered.play()
        plain.play()
    medians = [statistics.median(played.round) for played in (filtered, plain)]
    added, best = medians[0] - medians[1], sum(filtered.best) - sum(plain.best)
    print(f"    {shown(medians[0])} with the filter, {shown(medians[1])} without it (medians of {SESSIONS}); {shown(best)} more at best; "
          f"{filtered.held} and {plain.held} acknowledgements held back so far")
    return min(added, best)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--suite", required=True)
    parser.add_argument("--filtered", type=int, required=True)
    parser.add_argument("--plain", type=int, required=True)
    parser.add_argument("--client", required=True)
    options = parser.parse_args()
    # What is looked up once is remembered.
    session(options.filtered, options.client)
    filtered, plain = (Played(port, options.client) for port in (options.filtered, options.plain))
    for number in range(1, ROUNDS + 1):
        added = play(filtered, plain)
        if added < ADDED:
            break
    # Where they are held back at all, that is in each command; one session in ten may be the machine's.
    fast, smooth = added < ADDED, filtered.held < number * SESSIONS / 10
    print(f"    sessions with the filter: {1 + number * SESSIONS}")
    print(f"{'ok' if fast else 'FAIL'} {options.suite}: over TCP the filter adds {shown(added)} to a session, below {shown(ADDED)}")
    print(f"{'ok' if smooth else 'FAIL'} {options.suite}: over TCP no command waits for a delayed acknowledgement of 40 ms")
    return 0 if fast and smooth else 1


if __name__ == "__main__":
    sys.exit(main())
