#!/usr/bin/env python3
"""Plays every row of the fault list to the daemon, and holds docs/reliability.md to what was played."""

import argparse
import itertools
import os
import resource
import subprocess
import sys
import threading
import time
import traceback

# pylint: disable=wrong-import-position,unused-import
sys.path.insert(1, os.path.dirname(os.path.realpath(__file__)))
import table
import peers
import clients
import servers
import lists
import process
import files
import kernel
from page import page, rows_of, run


# KiB of memory that a daemon may have whatever happens: a quarter of the unit's MemoryMax=.
MEMORY = 128 << 10


class Stage:
    """What all rows share."""

    def __init__(self, arguments):
        self.program, self.key, self.key2 = arguments.program, arguments.key, arguments.key2
        self.asleep = arguments.asleep
        self.directory, self.log = arguments.directory, arguments.log
        self.sources = os.path.dirname(os.path.realpath(__file__))
        # The most memory that each daemon had, in KiB.
        self.peaks = {}
        # Written on by several threads: a counter of Python's is safe there.
        self.addresses, self.ports = itertools.count(1), itertools.count(12001)

    def next_address(self):
        return f"127.1.0.{next(self.addresses)}"

    def next_port(self):
        return next(self.ports)


class Played:
    """A row, on its way or done."""

    def __init__(self, row, stage):
        self.row, self.stage = row, stage
        self.measured, self.problem, self.thread = "", "", None

    def begin(self):
        """All that needs the machine for itself."""
        self.guard(self.first)

    def first(self):
        result = self.row.play(self.stage)
        if isinstance(result, str):
            self.measured = result
            return
        next(result)
        self.thread = threading.Thread(target=self.guard, args=(self.rest, result), daemon=True)
        self.thread.start()

    def rest(self, steps):
        try:
            next(steps)
        except StopIteration as end:
            self.measured = end.value

    def guard(self, act, *words):
        try:
            act(*words)
        except table.Wrong as wrong:
            self.problem = str(wrong)
        # Whatever goes wrong in a row is a failure of that row.
        except Exception:  # pylint: disable=broad-exception-caught
            self.problem = traceback.format_exc().replace("\n", "\n    ")

    def tell(self, suite):
        if self.thread:
            self.thread.join(100)
        if not self.measured and not self.problem:
            self.problem = "it does not end"
        word, said = ("FAIL", self.problem) if self.problem else ("ok", self.measured)
        print(f"{word} {suite}: {self.row.number} {self.row.fault}: {said}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("suite", "key", "key2", "program", "asleep", "directory", "log", "page"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
    stage = Stage(arguments)
    rows = sorted(table.ROWS, key=lambda row: int(row.number[1:]))
    chosen = [row for row in rows if not arguments.only or row.number in arguments.only.split(",")]
    if len({row.number for row in rows}) < len(rows):
        raise SystemExit("two rows have one number")
    version = subprocess.run([stage.program, "--version"], capture_output=True, check=True, text=True).stdout.strip()
    began, played, ran = time.monotonic(), [], run(version)
    # Those that wait longest come first, so that they wait beside the others.
    for row in sorted(chosen, key=lambda row: -row.waits):
        one = Played(row, stage)
        one.begin()
        played.append(one)
        if not one.thread:
            one.tell(arguments.suite)
    for one in played:
        if one.thread:
            one.tell(arguments.suite)
    print(f"measured: {len(played)} rows in {time.monotonic() - began:.0f} s")
    peak, name = max(((peak, name) for name, peak in stage.peaks.items()), default=(0, "none"))
    word = "ok" if 0 < peak <= MEMORY else "FAIL"
    print(f"{word} {arguments.suite}: no daemon of any row had more than {MEMORY >> 10} MiB: {name} had {peak >> 10}", flush=True)
    if arguments.only:
        return
    # The document: rows as they were played, and measured the same things; the figures are others in each run.
    with open(arguments.page, encoding="utf-8") as file:
        before = file.read()
    after = page(rows, {one.row.number: one.measured for one in played}, before, ran)
    if arguments.write and not any(one.problem for one in played):
        with open(arguments.page, "w", encoding="utf-8") as file:
            file.write(after)
        before = after
    same = rows_of(before) == rows_of(after)
    print(f"{'ok' if same else 'FAIL'} {arguments.suite}: docs/reliability.md is of this version, has every row as it was played, and what was measured", flush=True)


main()
