"""What differs between the two programs at one step, and what it takes to explain it.

A reason explains a difference if the step or the session has one of its tags, and the difference is one of its
kinds. What is asked is told apart by why it might be asked, so that one reason does not cover for another.
"""

from collections import Counter
from dataclasses import dataclass

from nameserver import ALIAS

RANK = {"continue": 0, "accept": 0, "quarantine": 1, "discard": 1}


@dataclass
class Difference:
    """One thing that differs at one step."""

    session: str
    stage: str
    tags: frozenset
    kind: str
    python: str
    gatepost: str

    def shown(self):
        return f"{self.stage}: {self.kind}: Python {self.python} | gatepost {self.gatepost} | {sorted(self.tags)}"


@dataclass
class Reason:
    group: str
    name: str
    kinds: str
    # One of these must be there; words with a blank between them all.
    tags: set
    python: str
    gatepost: str
    why: str

    def explains(self, difference):
        return difference.kind in self.kinds.split(", ") and any(set(tags.split()) <= difference.tags for tags in self.tags)


def names(asked):
    return ", ".join(name if count == 1 else f"{name} ×{count}" for name, count in sorted(asked.items())) or "nothing"


def words_of(stage, session, tags, python, gatepost, before=()):
    """The differences between what both did at a step, each with its kind."""

    def found(kind, left, right):
        return Difference(session.title, stage, tags | session.tags, kind, left, right)

    def weight(seen):
        word = seen.verdict
        return RANK.get(word, 2 if word.startswith("5") or word == "reject" else 1)

    if python.verdict != gatepost.verdict and (weight(python), weight(gatepost)) != (0, 0):
        if stage == "start":
            kind = "start"
        elif {"closed", "silent"} & {python.verdict, gatepost.verdict}:
            kind = "no answer"
        else:
            order = weight(gatepost) - weight(python)
            kind = "stricter" if order > 0 else "milder" if order < 0 else "otherwise"
        yield found(kind, python.verdict, gatepost.verdict)
    elif python.text != gatepost.text:
        yield found("words", python.text, gatepost.text)
    if python.marks != gatepost.marks:
        yield found("marks", ", ".join(python.marks) or "nothing", ", ".join(gatepost.marks) or "nothing")
    if python.late != gatepost.late:
        yield found("late" if gatepost.late else "sooner", *("late" if seen.late else "in time" for seen in (python, gatepost)))
    for kind, missing, extra in questions(python.asked, gatepost.asked, before):
        yield found(kind, "asks " + names(missing), "asks " + names(extra))


def questions(python, gatepost, before):
    """What is different about the questions: kind, what only the Python milter asks, what only gatepost."""
    missing, extra, none = python - gatepost, gatepost - python, Counter()

    def take(kind, belongs):
        taken = Counter({name: count for name, count in extra.items() if belongs(name)})
        for name in taken:
            del extra[name]
        return [(kind, none, taken)] if taken else []

    def plain(name):
        return name.removesuffix(" by TCP")

    def second(name):
        """Whether it is a question to ZRD where the Python milter stopped after DBL."""
        return name.startswith("zrd ") and "dbl " + plain(name)[4:] in python and plain(name) not in python

    found = take("asks again", lambda name: name in before)
    found += take("follows an alias", lambda name: name == ALIAS)
    found += take("asks ZRD", second)
    found += take("asks by TCP", lambda name: name != plain(name) and plain(name) in python)
    if missing or extra:
        found.append(("asks otherwise" if missing and extra else "asks less" if missing else "asks more", missing, extra))
    return found
