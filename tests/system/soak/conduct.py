"""What happens to the daemon meanwhile: reloads, restarts, new files, and the weather of the name server."""

import asyncio
import json
import os

from keeper import NOBODY
from truth import BROKEN, RULES, access_file, banned_file, client, entries

# Weather in which every verdict must be exact, and weather in which whoever is listed may come in.
FAIR = ("", "spread 30", "case", "spoof", "tc", "spread 300", "late 100")
FOUL = ("silence .", "rcode 2 .", "rcode 5 .", "garbage .", "loss 50", "hang silence .", "rcode 2 .", "silence .", "spread 4000")
# Two words of the operator's about us; only a new key ends what follows from them.
OPERATOR = ("127.255.255.254 .", "127.255.255.250 .")


def patience(weather, lasted):
    """Seconds in which lists must be back once weather that lasted so long is over: what is left of the longest rest that can have begun in it
    (src/dns/breaker.rs), and three for the question that ends it and for whoever looks."""
    if weather in OPERATOR or "silence" in weather or weather.startswith("garbage"):
        # After a new key at once; who says nothing is asked every second.
        rest = 0
    elif weather.startswith("rcode"):
        # Rests double from two seconds to a minute: the last one is as long as those before it, and two.
        rest = min(60, lasted + 2)
    else:
        # Probes are answered and questions are not: from 15 seconds to 5 minutes.
        rest = min(300, lasted + 15)
    return rest + 3


def write(path, text, mode=0o644):
    """As an editor does: a new file in the place of the old one."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
        os.fchown(file.fileno(), 0, NOBODY)
    os.rename(path + ".new", path)


class Conduct:
    def __init__(self, keeper, history, names, random, keys):
        self.keeper, self.history, self.names, self.random, self.keys = keeper, history, names, random, list(keys)
        self.clock, self.log = history.clock, keeper.log
        # What changes files that are read, and who reads them.
        self.lock = asyncio.Lock()
        self.counts, self.wrong = {}, []
        # Lists that were left alone though nothing was done to the name server.
        self.odd = []
        self.foul, self.ending, self.status = False, False, {}
        # When all lists were last seen in use.
        self.well = 0.0
        # When the last outage was over.
        self.fair = self.clock()
        self.handed = 0

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def path(self, name):
        return os.path.join(self.keeper.directory, name)

    # Files.

    def prepare(self):
        write(self.path("friends"), "".join(client("friend", n) + "\n" for n in range(200)))
        write(self.path("banned"), "\n".join(banned_file(0)) + "\n")
        write(self.path("access"), "\n".join(access_file(0)) + "\n")
        self.configure("soak-a")
        self.new_key()

    def configure(self, mark):
        write(self.path("gatepost.toml"), RULES[mark].text(self.keeper.directory))

    def new_key(self):
        self.keys.append(self.keys.pop(0))
        write(self.path("env"), f"SPAMHAUS_DQS_API_KEY={self.keys[0]}\n", 0o640)

    async def file(self, name, lines, timeline):
        """A file with other members; now and then one with mistakes before, which must change nothing."""
        generation = timeline.latest + 1
        if self.random.random() < 0.25:
            told = self.log.expect("event=source", "ERROR")
            if name == "access":
                write(self.path(name), "\n".join(lines(generation)) + "\nTo:x@here.example\tNONSENSE\n")
            else:
                # A line that means nothing costs such a list no more than that line.
                os.rename(self.path(name), self.path("gone"))
            await self.happens(told, f"a broken file {name} is told")
            self.count("broken lists and maps")
        text = lines(generation)
        timeline.change(generation, self.clock())
        write(self.path(name), "\n".join(text) + "\n")
        if await self.becomes(lambda: self.read(name) == entries(text), f"{name} of generation {generation} is read"):
            timeline.settled(self.clock())
        self.count("new lists and maps")

    def read(self, name):
        return next((file["entries"] for file in self.status.get("files", []) if file["path"] == self.path(name) and file["state"] == "ok"), None)

    async def files(self, period):
        while not self.ending:
            await asyncio.sleep(self.random.uniform(0.5, 1.5) * period)
            async with self.lock:
                which = self.random.random() < 0.5
                await (self.file("banned", banned_file, self.history.banned) if which else self.file("access", access_file, self.history.access))

    # Waiting.

    async def happens(self, future, what):
        try:
            await asyncio.wait_for(asyncio.shield(future), 60)
            return True
        except TimeoutError:
            self.wrong.append(f"{self.clock():.1f} not within 60 s: {what}")
            return False

    async def becomes(self, condition, what):
        end = self.clock() + 60
        while self.clock() < end:
            await self.look()
            if condition():
                return True
            await asyncio.sleep(0.3)
        self.wrong.append(f"{self.clock():.1f} not within 60 s: {what}")
        return False

    # Reloads and restarts.

    async def reload(self):
        kind = self.random.choices(("same", "broken", "changed"), (3, 2, 4))[0]
        mark = self.history.rules.latest
        if kind == "broken":
            told = self.log.expect("event=reload ", "ERROR")
            write(self.path("gatepost.toml"), self.random.choice(BROKEN))
            self.keeper.hang_up()
            await self.happens(told, "a broken configuration is told")
            self.configure(mark)
        else:
            if kind == "changed":
                mark = self.random.choice([other for other in RULES if other != mark])
            self.configure(mark)
            told = self.log.expect("event=reloaded")
            self.history.rules.change(mark, self.clock())
            self.keeper.hang_up()
            if await self.happens(told, "a configuration comes into force"):
                self.history.rules.settled(self.clock())
        self.count(f"reloads, {kind}")

    async def reloads(self, shortest, longest):
        while not self.ending:
            await asyncio.sleep(self.random.uniform(shortest, longest))
            async with self.lock:
                await self.reload()

    async def restart(self):
        """SIGTERM and a new process, now and then with another configuration; what is open goes on in it."""
        async with self.lock:
            mark, begun = self.history.rules.latest, self.clock()
            if self.random.random() < 0.5:
                mark = self.random.choice(list(RULES))
            self.configure(mark)
            self.history.rules.change(mark, begun)
            span = [begun, float("inf")]
            self.history.restarts.append(span)
            await self.look()
            lost = self.status["sessions"]["lost"]
            status = await self.keeper.stop()
            handed = sum(name.startswith("session-") for name, _ in self.keeper.stored)
            await self.keeper.start()
            await self.look()
            self.history.rules.settled(self.clock())
            span[1] = self.clock()
            sessions = self.status["sessions"]
            self.handed += handed
            self.count("restarts")
            if status != 0 or lost or sessions["lost"]:
                self.wrong.append(f"{self.clock():.1f} a restart: status {status}, {handed} handed over, {sessions['lost']} lost")

    async def restarts(self, times):
        """At so many seconds after the beginning."""
        begun = self.clock()
        for time in times:
            while not self.ending and self.clock() - begun < time:
                await asyncio.sleep(0.5)
            if self.ending:
                return
            await self.restart()

    # The name server.

    async def script(self, weather):
        await asyncio.to_thread(self.names.script, {"weather": weather} if weather else {})

    async def look(self):
        """What the daemon says of itself; a list that it does not use is trouble, whoever made it."""
        try:
            self.status = json.loads(await self.keeper.order("status"))
        except (OSError, ValueError, TimeoutError):
            return
        now = self.clock()
        if all(zone["state"] == "ok" for zone in self.status["zones"]):
            self.well = now
            if not self.foul:
                for trouble in self.history.troubles:
                    trouble[1] = min(trouble[1], now)
        elif not self.foul and not self.history.troubled(now, now):
            # Its answers are judged as in an outage, which is no excuse: the run has failed.
            self.history.trouble(self.well - 3)
            zones = ", ".join(f"{zone['zone']} {zone['state']}: {zone['reason']}" for zone in self.status["zones"] if zone["state"] != "ok")
            self.odd.append(f"{now:.1f} in fair weather, {now - self.fair:.1f} s after an outage: {zones}")

    async def outage(self, weather, seconds):
        self.count("outages")
        self.history.trouble(self.clock())
        self.foul = True
        await self.script(weather)
        await asyncio.sleep(seconds)
        await self.script("")
        if weather in OPERATOR:
            async with self.lock:
                self.new_key()
                told = self.log.expect("event=reloaded")
                self.keeper.hang_up()
                await self.happens(told, "a new key comes into force")
        # What was asked before is answered, or given up, by then.
        await asyncio.sleep(6)
        self.foul, self.fair = False, self.clock()
        most = patience(weather, seconds)
        begun = self.clock()
        while (troubled := self.history.troubled(self.clock(), self.clock())) and self.clock() < begun + most and not self.ending:
            await asyncio.sleep(0.3)
            await self.look()
        if troubled and not self.ending:
            zones = [(zone["zone"], zone["state"], zone["retry_seconds"]) for zone in self.status["zones"]]
            self.wrong.append(f"{self.clock():.1f} {6 + most:.0f} s after {weather!r} for {seconds:.0f} s the lists are not back: {zones}")

    async def weather(self, fair, foul):
        """Outages in turns, and fair weather between them, in which lists have time to come back."""
        turns = list(FOUL)
        self.random.shuffle(turns)
        turns.insert(3, OPERATOR[0])
        turns.insert(7, OPERATOR[1])
        while not self.ending:
            for weather in turns:
                for _ in range(2):
                    await self.script(self.random.choice(FAIR))
                    await asyncio.sleep(self.random.uniform(0.6, 1.4) * fair / 2)
                if self.ending:
                    return
                await self.outage(weather, self.random.uniform(0.5, 1.5) * foul)
