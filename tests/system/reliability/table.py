"""The rows of the fault list: what breaks, how it is broken here, what must come of it, and what else tests it."""

import re
from dataclasses import dataclass, field
from typing import Callable

ROWS = []


class Wrong(Exception):
    """Something is not as the row expects it."""


@dataclass
class Row:
    number: str
    fault: str
    injection: str
    expected: str
    play: Callable
    # Functions of `cargo test`, and "suite: title of a case".
    also: list = field(default_factory=list)
    # How it differs from what the fault is in life, and why: for the document.
    note: str = ""
    # Seconds that a row waits for something that nothing can hasten.
    waits: int = 0


def row(number, fault, injection, expected, also="", waits=0, note=""):
    """Makes a row of a function that plays it and gives what it measured. One that yields has no more need of a
    quiet machine from there on: the rest of it is waiting, which is done beside other rows."""

    def add(play):
        names = [name.replace("\\", "").strip() for name in re.split(r"(?<!\\),", also) if name]
        ROWS.append(Row(number, fault, injection, expected, play, names, note, waits))
        return play

    return add
