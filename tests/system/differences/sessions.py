"""The sessions: some from a grammar with a fixed seed, and corners written by hand.

A session is a list of steps and a script for the name server. Each form of an address, each answer of DNS
and each setting has a tag: reasons.py says which of them may make the two programs differ. What is the same
for both has a tag, too, so that a new difference has no excuse.
"""

import random
from dataclasses import dataclass, field

from answers import ANSWERS, PATIENT, RESTS
from forms import CLIENTS, HELOS, SENDERS
from nameserver import reversed_address

SEED = "differences"
GENERATED = 200
# For sessions that wait for an answer in vain: nobody learns more from the longer times.
SHORT = {"DNS_LIFETIME": "1.0", "DNS_PER_TRY": "0.25"}


@dataclass
class Step:
    """A command of the MTA: its code, its words, macros before it, and the tags of what is in it."""

    code: str
    octets: bytes = b""
    macros: dict = field(default_factory=dict)
    tags: frozenset = frozenset()
    family: str = "4"
    name: str = "client.example"


@dataclass
class Session:
    title: str
    steps: list
    script: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    tags: frozenset = frozenset()
    # Whether it must find the programs as the session before it has left them.
    follows: bool = False
    # Whether the Python milter must not know its names yet.
    fresh: bool = False
    # Seconds since the session before it, at least.
    later: float = 0
    # How many connections say the same at the same time.
    times: int = 1

    @property
    def spoils(self):
        """Whether it has gatepost leave a list alone for some time."""
        return any(
            words.split()[0] in RESTS or "127.255." in words or "." in words and bad(words)
            for zone in self.script.values()
            for words in zone.values()
        )


def bad(words):
    return any(
        word[0].isdigit() and "." in word and (not word.startswith("127.") or word == "127.0.0.1") for word in words.split()
    )


def client(address, family=None, tags=(), name="client.example", macros=None):
    family = family or ("6" if ":" in address else "4")
    return Step("C", address.encode("latin-1"), macros or {}, frozenset(tags), family, name)


def helo(name, *tags):
    return Step("H", name if isinstance(name, bytes) else name.encode(), {}, frozenset(tags))


def mail(path, *tags, macros=None):
    return Step("M", path if isinstance(path, bytes) else path.encode(), macros or {}, frozenset(tags))


def rcpt(path="<u@here.example>", *tags):
    return Step("R", path.encode(), {}, frozenset(tags))


END = Step("E")
RSET = Step("A")


def number(n):
    """An address of its own for each session, which both programs take for a public one."""
    return f"8.{8 + n // 250}.{n % 250}.1"


def generated():
    """Each form meets each kind of answer sooner or later; one part of a session is the odd one."""
    rng = random.Random(SEED)
    decks = {}

    def draw(name, cards):
        """From a shuffled deck, so that every form comes up before one comes twice."""
        if not decks.get(name):
            decks[name] = rng.sample(cards, len(cards))
        return decks[name].pop()

    for n in range(GENERATED):
        focus = ("client", "helo", "sender", "sender", "helo")[n % 5]
        script, fresh = {}, False
        clean = ("nxdomain", "none")
        form, family, address, about, form_tags = CLIENTS[0] if focus != "client" else draw("client", CLIENTS)
        address, about = address.format(n=n, v4=number(n)), about.format(n=n, v4=number(n))
        words, tag = draw("zen", ANSWERS["zen"]) if focus == "client" and rng.random() < 0.7 else clean
        if about:
            script["zen"] = {reversed_address(about): words}
        steps = [client(address, family, {*form_tags, "zen:" + tag})]
        titles = [form if focus == "client" else "", f"zen {words}" if tag != "none" else ""]
        for stage, deck, make in (("helo", HELOS, helo), ("sender", SENDERS, mail)):
            form, octets, about, form_tags = deck[0] if focus != stage else draw(stage, deck)
            label = f"{stage[0]}{n}"
            fresh = fresh or bool(about) and "##" not in about
            octets, about = octets.replace(b"##", label.encode()), about.replace("##", label)
            of_stage = set(form_tags)
            for zone in ("dbl", "zrd"):
                # Mostly the domain is listed: what is not looked at should make a difference.
                chance = {"dbl": 0.75, "zrd": 0.35}[zone] if focus == stage else 0.03
                words, tag = draw(zone, ANSWERS[zone]) if rng.random() < chance else clean
                if zone == "dbl" and focus == stage and rng.random() < 0.5:
                    words, tag = "codes 127.0.1.2", "listed"
                if about:
                    script.setdefault(zone, {})[about] = words
                of_stage.add(f"{zone}:{tag}")
                titles.append(f"{zone} {words}" if tag != "none" else "")
            titles.insert(0, form if focus == stage else "")
            steps.append(make(octets, *of_stage))
        steps += [rcpt(), END]
        title = f"{n:03} {focus}: " + ", ".join(filter(None, titles))
        settings = SHORT if any(words.split()[0] in PATIENT for zone in script.values() for words in zone.values()) else {}
        yield Session(title, steps, script, settings, fresh=fresh)
