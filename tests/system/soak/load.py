"""What mail servers say all day: sessions of all kinds, each answer held against the oracle."""

import asyncio
import random
import struct
from collections import Counter
from dataclasses import dataclass

from history import LATE, Oracle
from mta import strings
from truth import CLIENTS, DOMAINS, MEMBERS, client, client6
from wire import Lost, Wire

# A wrong answer is judged again after so many seconds, when trouble has been noticed.
SECOND_LOOK = 12
ODD = ("[192.0.2.1]", "localhost", "", "a\r\n event=verdict\"\x1b[31m", "b\xfcro.clean.example", "x" * 300)


@dataclass
class Facts:
    """What a session has said so far."""

    client_kind: str = ""
    client: str = ""
    client_number: int = 0
    client_at: float = 0.0
    helo_kind: str = ""
    helo: str = ""
    helo_at: float = 0.0
    login: str = ""
    sender_kind: str = ""
    sender_number: int = 0
    domain: str = ""
    mail_at: float = 0.0
    recipient: str = ""


class Load:
    def __init__(self, keeper, history, seed, rate):
        self.keeper, self.history, self.oracle, self.rate = keeper, history, Oracle(history), rate
        self.random, self.counts, self.wrong = random.Random(seed), Counter(), []
        # Why answers were right.
        self.reasons = Counter()
        self.tasks, self.refusals = set(), 0
        self.open = 0
        self.ending = False

    # Who it is.

    def number(self):
        """A few come often, most once."""
        return int(self.random.random() ** 3 * 65_000)

    def draw(self, odds):
        return self.random.choices(list(odds), list(odds.values()))[0]

    def person(self, facts):
        kind = self.draw({"clean": 52, "spam": 9, "exploit": 5, "dynamic": 5, "banned": 6, "friend": 3, "clean6": 8, "spam6": 4, "local": 2, "mapped": 6})
        facts.client_kind = kind
        facts.client_number = self.random.randrange(MEMBERS) if kind == "banned" else self.number()
        family = "4"
        if kind in CLIENTS:
            facts.client = client(kind, facts.client_number if kind != "friend" else facts.client_number % 200)
        elif kind in ("clean6", "spam6"):
            facts.client, family = client6(kind == "spam6", facts.client_number), "6"
        elif kind == "mapped":
            facts.client_kind = self.draw({"clean": 2, "spam": 1})
            facts.client, family = "::ffff:" + client(facts.client_kind, facts.client_number), "6"
        else:
            facts.client, family = "", "U"
        return strings("client.example") + family.encode() + (struct.pack(">H", 4025) + strings(facts.client) if facts.client else b"")

    def name(self, facts):
        facts.helo_kind = self.draw({"clean": 80, "bad": 8, "odd": 12}) if facts.client_kind != "friend" else "clean"
        facts.helo = self.random.choice(ODD) if facts.helo_kind == "odd" else f"mx{self.number()}.{DOMAINS[facts.helo_kind][0]}"
        return strings(facts.helo)

    def sender(self, facts):
        kind = self.draw({"clean": 70, "bad": 10, "young": 6, "access": 9, "null": 5})
        facts.sender_kind = "clean" if facts.client_kind in ("friend", "local") or facts.login else kind
        facts.sender_number = self.random.randrange(MEMBERS)
        if facts.sender_kind == "null":
            return strings("<>")
        facts.domain = "access.example" if facts.sender_kind == "access" else f"s{self.number()}.{DOMAINS[facts.sender_kind][0]}"
        if facts.sender_kind == "access":
            facts.domain = f"a{facts.sender_number}.access.example"
        return strings(f"<u@{facts.domain}>", "SIZE=1000")

    # What is right.

    def judged(self, stage, facts, wire, answer):
        """Counts an answer, and tells whether it refuses."""
        code, data, _ = answer
        now, text = self.history.clock(), data.decode("latin-1")
        late = wire.waited > LATE
        self.counts["answers"] += 1
        self.history.late += late
        for subject, listed in self.subjects(facts, stage):
            if listed:
                self.history.used(subject, late)
        if code == "y" and text[:1] == "4" or code == "t":
            self.counts["deferred"] += 1
        said = Facts(**vars(facts))
        words = (stage, said, wire, code, text, late, now)
        right = self.oracle.right(*words)
        if right:
            self.counts["exact" if right.only else "either"] += 1
            self.reasons[right.why.removeprefix("soak-a ").removeprefix("soak-b ").removeprefix("soak-c ")] += 1
        else:
            if code == "c":
                asyncio.get_running_loop().call_later(SECOND_LOOK, self.again, words)
            else:
                self.error(words)
        if code == "y":
            self.refusals += 1
        return code != "c"

    def subjects(self, facts, stage):
        if stage == "connect":
            yield facts.client, facts.client_kind in ("spam", "exploit", "dynamic", "spam6")
        if stage == "helo":
            yield facts.helo, facts.helo_kind == "bad"
        if stage in ("mail", "rcpt"):
            yield facts.domain, facts.sender_kind in ("bad", "young")
            yield facts.client, facts.client_kind in ("spam", "exploit", "dynamic", "spam6")
            yield facts.helo, facts.helo_kind == "bad"

    def again(self, words):
        if self.oracle.right(*words):
            self.counts["either"] += 1
        else:
            self.error(words)

    def error(self, words):
        stage, facts, wire, code, text, late, now = words
        self.counts["errors"] += 1
        if len(self.wrong) < 200:
            rules = sorted(self.history.in_force(wire, now))
            self.wrong.append(f"{now:.1f} {stage}: {code} {text[:120]!r} by {rules}, begun {wire.begun:.1f}, greeted {wire.greeted:.1f}, "
                              f"waited {wire.waited:.2f} {late}: {facts}")

    # What is done.

    async def think(self):
        """Mostly a round trip; now and then somebody who takes his time, over a reload or a restart."""
        chance = self.random.random()
        if chance < 0.004 and not self.ending:
            await asyncio.sleep(self.random.uniform(5, 60))
        elif chance < 0.03 and not self.ending:
            await asyncio.sleep(self.random.uniform(0.3, 4))
        elif chance < 0.5:
            await asyncio.sleep(self.random.uniform(0, 0.06))

    async def message(self, facts, wire):
        """One transaction; false if the session is over."""
        if not facts.login and facts.client_kind in ("clean", "spam") and self.random.random() < 0.05:
            facts.login = "ann"
        wire.macros("M", *(("{auth_authen}", facts.login) if facts.login else ("i", "4Abc")))
        sender, facts.mail_at, facts.recipient = self.sender(facts), self.history.clock(), ""
        if self.judged("mail", facts, wire, await wire.ask("M", sender)):
            return
        await self.think()
        taken = 0
        for _ in range(self.random.choice((1, 1, 1, 2, 3, 5))):
            facts.recipient = "any" if facts.login or facts.client_kind in ("friend", "local") else self.draw({"any": 85, "postmaster": 7, "closed": 8})
            mailbox = facts.recipient if facts.recipient != "any" else f"r{self.number()}"
            taken += not self.judged("rcpt", facts, wire, await wire.ask("R", strings(f"<{mailbox}@here.example>")))
        if not taken or self.random.random() < 0.25:
            wire.send("A")
            return
        await self.think()
        for code, data in [("T", b""), *(("L", strings("Subject", f"hello {n}")) for n in range(3)), ("N", b"")]:
            self.goes_on(await wire.ask(code, data))
        for _ in range(self.random.choice((0, 1, 1, 2))):
            self.goes_on(await wire.ask("B", b"Hello, and so on.\r\n" * self.random.choice((1, 20, 200, 3000))))
        if self.random.random() < 0.1:
            wire.send("A")
            return
        answer = await wire.ask("E")
        self.goes_on(answer)
        self.counts["messages"] += 1
        headers = sum(code in "hi" for code, _ in answer[2])
        words = (facts, wire, wire.waited > LATE, self.history.clock())
        if headers not in self.oracle.tags(*words):
            said = Facts(**vars(facts))
            asyncio.get_running_loop().call_later(SECOND_LOOK, self.tagged_again, headers, (said, *words[1:]))

    def tagged_again(self, headers, words):
        if headers not in self.oracle.tags(*words):
            self.error(("message", words[0], words[1], "h", f"{headers} header fields", words[2], words[3]))

    def goes_on(self, answer):
        if answer[0] not in "cas":
            raise Lost(f"{answer[0]} {answer[1][:80]} in the message")

    async def dialog(self, wire, messages):
        """What one SMTP client says."""
        facts = Facts()
        connect = self.person(facts)
        wire.macros("C", "j", "mx.here.example")
        facts.client_at = self.history.clock()
        if self.judged("connect", facts, wire, await wire.ask("C", connect)):
            return
        await self.think()
        helo, facts.helo_at = self.name(facts), self.history.clock()
        if self.judged("helo", facts, wire, await wire.ask("H", helo)):
            return
        for n in range(messages):
            await self.think()
            await self.message(facts, wire)
            if n % 8 == 7:
                await self.think()

    async def visit(self):
        wire = await self.dial()
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            await self.dialog(wire, self.random.choice((1, 1, 1, 2, 3)) if self.random.random() > 0.03 else 25)
            wire.send("K")
        wire.send("Q")
        wire.close()

    async def dial(self):
        wire = Wire(self.keeper, self.history.clock)
        try:
            await wire.open(self.random.random() < 0.5)
            await wire.greet(self.random.choice((0, 0x1FFFFF)))
        except BaseException:
            wire.close()
            raise
        return wire

    async def stays(self):
        """A connection that an MTA keeps for minutes, idle between its clients."""
        wire = await self.dial()
        end = self.history.clock() + self.random.uniform(60, 240)
        while self.history.clock() < end and not self.ending:
            await self.dialog(wire, 1)
            wire.send("K")
            for _ in range(int(self.random.uniform(5, 40))):
                if self.ending:
                    break
                await asyncio.sleep(1)
        wire.send("Q")
        wire.close()

    async def guarded(self, what, name):
        begun = self.history.clock()
        self.open += 1
        try:
            await what
            self.counts[name] += 1
        except (Lost, OSError) as lost:
            over_restart = any(ended >= begun for _, ended in self.history.restarts)
            self.counts["lost"] += 1
            if len(self.wrong) < 200:
                self.wrong.append(f"{self.history.clock():.1f} {name} lost after {self.history.clock() - begun:.1f} s, restart {over_restart}: {lost!r}")
        finally:
            self.open -= 1

    def begin(self, what, name):
        task = asyncio.get_running_loop().create_task(self.guarded(what, name))
        self.tasks.add(task)
        task.add_done_callback(self.done)

    def done(self, task):
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            self.counts["lost"] += 1
            self.wrong.append(f"the driver: {task.exception()!r}")

    async def run(self, kept):
        """Sessions at the rate, as they come; and so many connections that stay."""
        due, staying = self.history.clock(), set()
        while not self.ending:
            due += self.random.expovariate(self.rate)
            wait = due - self.history.clock()
            if wait > 0:
                await asyncio.sleep(wait)
            elif wait < -2:
                due = self.history.clock()
            # A server that stands still must not be buried in tasks of the driver's.
            if self.open < 1500:
                self.begin(self.visit(), "sessions")
            while len(staying) < kept:
                task = asyncio.get_running_loop().create_task(self.guarded(self.stays(), "kept"))
                staying.add(task)
                self.tasks.add(task)
                task.add_done_callback(staying.discard)
                task.add_done_callback(self.done)
