"""What differs between the two programs at one step, and what it takes to explain it.

A reason explains a difference if the step or the session has one of its tags, and the difference is one of its
kinds, at a stage and about a list that the reason is about. The kind of a verdict says what became of the mail with
either of them, so that a reason to let in is none to refuse; what is asked is told apart by why it might be asked.
What each said and asked is in found.txt to the last word: a reason makes a difference lawful, not any difference.
"""

from collections import Counter
from dataclasses import dataclass

from nameserver import ALIAS

OUTCOMES = {"continue": "in", "accept": "in", "reject": "refused", "tempfail": "deferred", "discard": "discarded"}
ORDER = ["CONNECT", "HELO", "MAIL", "RCPT", "end of message"]


@dataclass
class Difference:
    """One thing that differs at one step."""

    session: str
    stage: str
    tags: frozenset
    kind: str
    python: str
    gatepost: str
    # The lists that one of them asks and the other does not.
    lists: frozenset = frozenset()

    def line(self, reason):
        """As found.txt has it."""
        return " | ".join((self.stage, self.kind, f"{visible(self.python)} / {visible(self.gatepost)}", reason))

    def shown(self):
        return f"{self.line('?')} {sorted(self.tags)}"


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
    # The stages at which it counts, and the lists whose questions it is about: all if nothing is said.
    at: str = ""
    lists: str = ""

    def explains(self, difference):
        return (
            difference.kind in self.kinds.split(", ")
            and (not self.at or difference.stage in self.at.split(", "))
            and (not self.lists or difference.lists <= set(self.lists.split()))
            and any(set(tags.split()) <= difference.tags for tags in self.tags)
        )


def visible(text):
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def outcome(seen):
    """What becomes of the mail."""
    return OUTCOMES.get(seen.verdict) or {"4": "deferred", "5": "refused"}.get(seen.verdict[:1], seen.verdict)


def said(seen):
    """The whole answer."""
    return " ".join(filter(None, (seen.verdict, seen.text, seen.at and f"at {seen.at}", seen.later and f"then {seen.later}")))


def kind_of_answer(stage, python, gatepost):
    """Nothing if both say the same."""
    if stage == "start":
        if python.verdict == gatepost.verdict:
            return None
        return "does not start" if gatepost.verdict == "ends with status 78" else "starts otherwise"
    left, right = outcome(python), outcome(gatepost)
    if left != right:
        return f"{left} → {right}"
    if left == "in" or said(python) == said(gatepost):
        return None
    if (python.verdict, python.text) == (gatepost.verdict, gatepost.text):
        return "a later stage" if place(gatepost) > place(python) else "an earlier stage"
    return "words" if (python.verdict, python.at) == (gatepost.verdict, gatepost.at) else f"{left} otherwise"


def place(seen):
    return ORDER.index(seen.at.partition(",")[0])


def names(asked):
    return ", ".join(name if count == 1 else f"{name} ×{count}" for name, count in sorted(asked.items())) or "nothing"


def words_of(stage, session, tags, python, gatepost, before=()):
    """The differences between what both did at a step, each with its kind."""

    def found(kind, left, right, lists=frozenset()):
        return Difference(session.title, stage, tags | session.tags, kind, left, right, lists)

    kind = kind_of_answer(stage, python, gatepost)
    if kind:
        yield found(kind, said(python), said(gatepost))
    if python.marks != gatepost.marks:
        yield found("marks", ", ".join(python.marks) or "nothing", ", ".join(gatepost.marks) or "nothing")
    if python.late != gatepost.late:
        yield found("late" if gatepost.late else "sooner", *("late" if seen.late else "in time" for seen in (python, gatepost)))
    for kind, missing, extra in questions(python.asked, gatepost.asked, before):
        lists = frozenset(name.split(" ")[0] for name in missing + extra if name != ALIAS)
        yield found(kind, "asks " + names(missing), "asks " + names(extra), lists)


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
