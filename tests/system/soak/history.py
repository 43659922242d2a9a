"""What was in force when, as far as it can be known from outside; and so which answers are right."""

from collections import deque
from dataclasses import dataclass

from truth import CLIENTS, RULES, STAGES, member

# A failure is remembered for a minute at most, and a question goes on for two seconds after its stage.
REMEMBERED, ASKING = 62, 3
# Seconds of waiting from which on the daemon's budget for a session, 2 s, may have been the reason to let somebody in.
LATE = 1.5


class Timeline:
    """Values one after the other; while one gives way to the next both are possible."""

    def __init__(self, value):
        self.spans = [[value, 0.0, float("inf")]]

    @property
    def latest(self):
        return self.spans[-1][0]

    def change(self, value, begun):
        self.spans.append([value, begun, float("inf")])
        del self.spans[:-200]

    def settled(self, now):
        for span in self.spans[:-1]:
            span[2] = min(span[2], now)

    def possible(self, begun, ended):
        return [value for value, first, last in self.spans if first <= ended and last >= begun]


class History:
    def __init__(self, clock):
        self.clock = clock
        self.rules, self.banned, self.access = Timeline("soak-a"), Timeline(0), Timeline(0)
        self.restarts, self.troubles = deque(maxlen=500), deque(maxlen=500)
        # When a listed subject was asked about, and whether that took too long.
        self.uses, self.late = {}, 0

    def trouble(self, begun, ended=float("inf")):
        self.troubles.append([begun, ended])

    def troubled(self, begun, ended):
        return any(first <= ended and last >= begun for first, last in self.troubles)

    def used(self, subject, late):
        now = self.clock()
        self.uses[subject] = [use for use in self.uses.get(subject, []) if now - use[0] < 150][-20:] + [(now, late)]
        if len(self.uses) > 40_000:
            self.uses = {name: uses for name, uses in self.uses.items() if now - uses[-1][0] < 150}

    def tainted(self, subject, now):
        """Whether a failure may be what is remembered about it."""
        return any(
            use <= now < use + REMEMBERED + ASKING and (late or self.troubled(use - ASKING, use + ASKING))
            for use, late in self.uses.get(subject, [])
        )

    def unsure(self, subject, begun, now):
        return self.troubled(begun - 1, now) or self.tainted(subject, now)

    def in_force(self, wire, now):
        """The rules by which a session may be judged: those of its beginning, and of each process that took it over."""
        windows = [(wire.begun, wire.greeted)] + [(begun, ended) for begun, ended in self.restarts if ended >= wire.begun]
        return {mark for begun, ended in windows if begun <= now for mark in self.rules.possible(begun, ended)}


class Reason:
    """Why somebody may be refused: in which words, known from which stage on, and whether for sure."""

    def __init__(self, words, known, sure, at_rcpt_only=False):
        self.words, self.known, self.sure, self.at_rcpt_only = words, known, sure, at_rcpt_only


@dataclass
class Right:
    """Why an answer is right, and whether no other one would have been."""

    why: str
    only: bool


class Oracle:
    """Which answers to an event are right."""

    def __init__(self, history):
        self.history = history

    def reasons(self, facts, rules, late, now):
        """For one configuration."""
        history = self.history

        def listed(subject, begun):
            return not late and not history.unsure(subject, begun, now)

        kind = facts.client_kind
        if kind in CLIENTS and CLIENTS[kind][1] and kind != "friend" and not facts.login and not (kind == "dynamic" and rules.tags_dynamic):
            yield Reason("client", 0, listed(facts.client, facts.client_at))
        if kind == "spam6" and not facts.login:
            yield Reason("client", 0, listed(facts.client, facts.client_at))
        if kind == "banned":
            said = {member(facts.client_number, generation) for generation in history.banned.possible(facts.client_at, now)}
            if True in said:
                yield Reason("banned", 0, said == {True})
        if facts.helo_kind == "bad" and not facts.login:
            yield Reason("helo", 1, listed(facts.helo, facts.helo_at))
        if facts.sender_kind in ("bad", "young"):
            yield Reason("sender" if facts.sender_kind == "bad" else "young", 2, listed(facts.domain, facts.mail_at))
        if facts.sender_kind == "access":
            said = {member(facts.sender_number, generation) for generation in history.access.possible(facts.mail_at, now)}
            if True in said:
                yield Reason("soak access sender", 3, said == {True}, True)
        if facts.recipient == "closed":
            yield Reason("soak access recipient", 3, True, True)

    def right(self, stage, facts, wire, code, text, late, now):
        """How an answer is right, by one of the configurations that may be in force: as the only right one, as one of
        several, or not at all (None)."""
        at, found = STAGES.index(stage), None
        in_force = self.history.in_force(wire, now)
        only = len(in_force) == 1
        for mark in in_force:
            rules, sure, words = RULES[mark], False, []
            first = STAGES.index(rules.stage)
            for reason in self.reasons(facts, rules, late, now):
                spared = facts.recipient == "postmaster" and stage == "rcpt" and reason.words != "soak access recipient" \
                    and (first == 3 or reason.at_rcpt_only)
                if spared or at < max(first if not reason.at_rcpt_only else 3, reason.known):
                    continue
                sure, only = sure or reason.sure, only and reason.sure
                words.append(reason.words if reason.at_rcpt_only else f"{mark} {reason.words}")
            right = next((word for word in words if word in text), None) if code == "y" else "clean" if code == "c" and not sure else None
            found = found or right
        return found and Right(found, only)

    def tags(self, facts, wire, late, now):
        """How many header fields a message may get at its end."""
        options = set()
        for mark in self.history.in_force(wire, now):
            tagged = facts.client_kind == "dynamic" and RULES[mark].tags_dynamic and not facts.login
            options.add(1 if tagged else 0)
            if tagged and (late or self.history.unsure(facts.client, facts.client_at, now)):
                options.add(0)
        return options
