"""What the mail servers send: conversations in the manner of Postfix and of Sendmail, all of them legal.

A conversation is a Python generator of events. It is told the code of each answer and goes on as a mail
server does. Equal seeds give equal conversations.
"""

import struct
from dataclasses import dataclass

# Event: the bits of SMFIP_* for "do not send" and "no reply".
BITS = {
    "C": (0x1, 0x1000), "H": (0x2, 0x2000), "M": (0x4, 0x4000), "R": (0x8, 0x8000), "B": (0x10, 0x80000),
    "L": (0x20, 0x80), "N": (0x40, 0x40000), "U": (0x100, 0x20000), "T": (0x200, 0x10000), "E": (0, 0),
}
RCPT_REJ, HDR_LEADSPC = 0x800, 0x100000

# Who offers what: name, version, actions, protocol, octets after them.
OFFERS = [
    ("Postfix and Sendmail", 6, 0x1FF, 0x1FFFFF, 0),
    ("version 6, few options", 6, 0x0FF, 0x042, 0),
    ("version 6, few actions", 6, 0x101, 0x1FFFFF, 0),
    ("version 6, no silence", 6, 0x1FF, 0x00077F, 0),
    ("version 5", 5, 0x03F, 0x0003FF, 0),
    ("version 4", 4, 0x1FF, 0x00037F, 0),
    ("version 3", 3, 0x1FF, 0x00017F, 0),
    ("version 2 of Postfix", 2, 0x1FF, 0x00007F, 0),
    ("version 2", 2, 0x03F, 0x00007F, 0),
    ("version 2, all options", 2, 0x1FF, 0x1FFFFF, 0),
    ("version 2, nothing said", 2, 0, 0, 0),
    ("version 7, more octets", 7, 0xFFFFFFFF, 0x0FFFFFFF, 20),
]

CLIENTS = [
    ("client.example", "4", b"192.0.2.1"), ("[192.0.2.7]", "4", b"192.0.2.7"), ("unknown", "6", b"2001:db8::1"),
    ("[IPv6:2001:db8:0:0:0:0:0:1]", "6", b"IPv6:2001:db8:0:0:0:0:0:1"), ("localhost", "U", b""),
    ("localhost", "L", b"/run/mail.sock"), ("mapped.example", "6", b"::ffff:192.0.2.9"),
    ("b\xfcro.example", "4", b"192.0.2.3"),
]
HELOS = ["mx.example", "[192.0.2.1]", "[IPv6:2001:db8::1]", "-", "bad name here", "b\xfcro.example", "x" * 300]
SENDERS = ["<{}@x.example>", "<{}>", "{}@x.example", "<{}.\xfc@x.example>", "<{}.{{}}@X.EXAMPLE.>"]
HEADERS = [
    ("Subject", "hello"), ("Subject", ""), ("X-Fold", "one\n two\n\tthree"), ("X-Eight", "caf\xe9"), ("x", "  y "),
    ("Received", "from a\n\tby b"), ("X-Long", "z" * 40000),
]
BODIES = [[], ["Hello\r\n"], ["x" * 65535, "y" * 65535, "tail\r\n"], ["a\0b\r", "\nc"], ["\n"], ["\x80\xff"]]
EDITS = [
    "add X-A value", "add X-A one\n\ttwo", "insert 0 X-B top", "insert 1 X-B 100% \xc3\xa9", "insert 2147483647 X-C y",
    "change 1 Subject other", "change 3 X-D a: b", "delete 2 Subject", "delete 1 x", "rcpt <a@x.example>",
    "rcpt b@x.example NOTIFY=NEVER", "unrcpt <c@x.example>", "from <>", "from <d@x.example>", "from d@x.example RET=HDRS",
]
NEW_BODIES = ["body 0", "body 1", "body 65535", "body 65536", "body 200000"]

SESSION = ["accept", "reject", "tempfail", "refuse", "defer", "lines", "echo", "close"]
MESSAGE = [*SESSION, "discard"]
UNKNOWN = ["reject", "tempfail", "refuse", "defer", "lines", "echo"]
END = [*MESSAGE, "quarantine", "slow"]


def packet(code, data=b""):
    return struct.pack(">I", 1 + len(data)) + code.encode() + data


def octets(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def strings(*texts):
    return b"".join(octets(text) + b"\0" for text in texts)


@dataclass
class Event:
    """A command. `wish` is what the filter is asked to answer; `due` whether an answer is."""

    code: str
    data: bytes = b""
    wish: str = ""
    due: bool = True
    # Sent before the command, in a write of their own or not.
    before: bytes = b""
    # Whether the macros of an earlier message may still be there for a filter that keeps them.
    stale: bool = False


class Mta:
    """One connection of a mail server."""

    def __init__(self, rng, postfix, offer):
        self.rng, self.postfix = rng, postfix
        _, self.version, self.actions, self.protocol, self.more = offer
        self.agreed = 0
        self.queue_id = None
        self.messages = 0

    def wish(self, words, odds=0.12):
        """What the filter is to answer: mostly "continue", so that messages come to their end."""
        return self.rng.choice(words) if self.rng.random() < odds else "continue"

    def macros(self, code, *pairs):
        """Postfix has macros for every event, and the queue id; Sendmail for some, which may be none."""
        if not self.postfix and code not in "CHMRTNE":
            return b""
        if self.postfix and self.queue_id and code not in "CH":
            pairs = (*pairs, "i", self.queue_id)
        return packet("D", code.encode() + strings(*pairs))

    def sends(self, code):
        declined, _ = BITS[code]
        known = self.protocol & declined or {"U": 3, "T": 4}.get(code, 2) <= self.version
        return known and not self.agreed & declined

    def event(self, code, data=b"", wish="continue", pairs=()):
        """Sends an event, unless it was declined, and gives the code of its answer."""
        _, silent = BITS[code]
        before = self.macros(code, *pairs)
        if not self.sends(code):
            # Both send the macros all the same.
            yield Event("D", due=False, before=before)
            return "c"
        if self.agreed & silent:
            yield Event(code, data, wish, due=False, before=before)
            return "c"
        # Sendmail names the queue id in front of each MAIL, and no login.
        stale = self.postfix and self.messages > 1
        return (yield Event(code, data, wish, before=before, stale=stale))

    def abort(self):
        self.queue_id = None
        yield Event("A", due=False)

    def conversation(self):
        data = struct.pack(">III", self.version, self.actions, self.protocol) + b"\7" * self.more
        answer = yield Event("O", data)
        self.agreed = struct.unpack(">III", answer[:12])[2]
        more = True
        while more:
            more = yield from self.session()
            if more:
                yield Event("K", due=False)
        yield Event("Q", due=False)

    def session(self):
        """One SMTP session; tells whether another one follows on the same connection."""
        rng = self.rng
        if rng.random() < 0.03:
            return False
        name, family, address = rng.choice(CLIENTS)
        wish = self.wish(SESSION, 0.1)
        if wish != "continue":
            name = wish + ".example"
        rest = b"" if family == "U" else struct.pack(">H", rng.randrange(65536)) + address + b"\0"
        pairs = ("j", "mx.example", "{daemon_name}", rng.choice(["MTA", "submission"]))
        answer = yield from self.event("C", strings(name) + family.encode() + rest, wish, pairs)
        if answer != "c":
            return False
        for _ in range(rng.choice([0, 1, 1, 1, 1, 2])):
            answer = yield from self.helo(self.wish(SESSION, 0.1))
            if answer != "c":
                return False
            if self.postfix and rng.random() < 0.2:
                yield from self.abort()
        for _ in range(rng.choice([0, 1, 2, 3])):
            yield from self.unknown()
            self.messages += 1
            ended = yield from self.message()
            if self.postfix or not ended:
                yield from self.abort()
                if self.postfix and rng.random() < 0.3:
                    yield from self.abort()
            self.queue_id = None
            # libmilter takes QUIT_NC after a delivered message only; no mail server sends it.
            if ended == "delivered" and not self.postfix and self.version >= 6 and rng.random() < 0.2:
                return True
        if rng.random() < 0.1:
            yield from self.helo("continue")
        return False

    def helo(self, wish):
        name = self.rng.choice(HELOS) if wish == "continue" else wish + ".example"
        return (yield from self.event("H", strings(name), wish))

    def unknown(self):
        if self.rng.random() < 0.15:
            wish = self.wish(UNKNOWN, 0.5)
            yield from self.event("U", strings(f"{wish} x\xe9"), wish)

    def message(self):
        """One message; tells whether its end was reached, which Sendmail marks by nothing else."""
        rng, end, later = self.rng, self.wish(END, 0.6), []
        if not self.postfix or rng.random() < 0.1:
            self.queue_id = f"Q{rng.randrange(1 << 30):x}"
        wish, data_wish = self.wish(MESSAGE), self.wish(MESSAGE)
        parameters = rng.sample(["SIZE=100", "BODY=8BITMIME", "SMTPUTF8", "RET=FULL"], rng.choice([0, 0, 1, 3]))
        parameters += [f"X-END={end}", f"X-DATA={data_wish}"]
        edits = rng.sample(EDITS, rng.choice([0, 1, 2, 6])) + rng.sample(NEW_BODIES, rng.choice([0, 0, 0, 1]))
        if rng.random() < 0.5:
            parameters += [f"X-EDIT={edit}" for edit in edits]
        else:
            later = [("X-Edit", edit) for edit in edits]
        sender = rng.choice(SENDERS).format(wish) if rng.random() < 0.9 else rng.choice(["<>", ""])
        wish = wish if wish in sender else "continue"
        pairs = rng.choice([(), ("{auth_authen}", "somebody"), ("i", "early")]) if self.postfix else ("i", self.queue_id)
        answer = yield from self.event("M", strings(sender, *parameters), wish, pairs)
        if answer != "c":
            return answer in "ad"
        yield from self.unknown()
        if self.postfix and rng.random() < 0.05:
            # A second HELO comes inside the open message, and ABORT after it.
            yield from self.helo("continue")
            return False
        taken = 0
        for _ in range(rng.choice([1, 1, 2, 5])):
            answer = yield from self.recipient()
            if answer in "ad":
                return True
            if answer == "c":
                taken += 1
                self.queue_id = self.queue_id or f"Q{rng.randrange(1 << 30):x}"
            if self.sends("T"):
                yield from self.unknown()
        if not taken or rng.random() < 0.1:
            return False
        answer = yield from self.event("T", b"", data_wish)
        if answer != "c":
            return answer in "ad"
        return (yield from self.content(end, later))

    def recipient(self):
        rng = self.rng
        wish = self.wish(MESSAGE, 0.2)
        if rng.random() < 0.1:
            # One that the mail server itself refuses; what the filter says to it is ignored.
            pairs = ("{rcpt_mailer}", "error", "{rcpt_host}", "5.1.1", "{rcpt_addr}", "550 5.1.1 unknown")
            if self.agreed & RCPT_REJ:
                yield from self.event("R", strings("<gone@x.example>"), "continue", pairs)
            elif not self.postfix:
                yield Event("D", due=False, before=self.macros("R", *pairs))
            return "r"
        parameters = rng.choice([[], [], ["NOTIFY=NEVER"], ["ORCPT=rfc822;u+2B@x.example", "NOTIFY=SUCCESS"]])
        pairs = ("{rcpt_addr}", f"{wish}@x.example", "{rcpt_mailer}", "smtp")
        return (yield from self.event("R", strings(f"<{wish}@x.example>", *parameters), wish, pairs))

    def content(self, end, later):
        rng = self.rng
        eoh_wish, header_wish, body_wish = self.wish(MESSAGE), self.wish(MESSAGE), self.wish([*MESSAGE, *["skip"] * 4], 0.3)
        headers = rng.sample(HEADERS, rng.choice([0, 1, 3, 5])) + later
        headers += [("X-Eoh", eoh_wish), ("X-End", end)]
        if header_wish != "continue":
            headers.insert(rng.randrange(len(headers)), ("X-Wish", header_wish))
        if rng.random() < 0.03:
            headers, eoh_wish = [], "continue"
        for name, value in headers:
            wish = value if name == "X-Wish" else "continue"
            blank = rng.choice([" ", "  ", "\t"]) if name not in ("X-Wish", "X-Eoh", "X-End", "X-Edit") else " "
            if not self.agreed & HDR_LEADSPC:
                blank = blank[1:]
            value = octets(blank) + (value.encode("latin-1") if name != "X-Edit" else octets(value))
            answer = yield from self.event("L", strings(name, value), wish)
            if answer != "c":
                return answer in "ad"
        answer = yield from self.event("N", b"", eoh_wish, () if self.postfix else ("i", self.queue_id))
        if answer != "c":
            return answer in "ad"
        body = list(rng.choice(BODIES))
        if body_wish != "continue":
            body.insert(rng.randrange(len(body) + 1), f"!{body_wish}\r\n")
        for chunk in body:
            wish = body_wish if chunk.startswith("!") else "continue"
            answer = yield from self.event("B", octets(chunk), wish)
            if answer == "s":
                break
            if answer != "c":
                return answer in "ad"
        pairs = ("{msg_id}", "<m@x.example>") if not self.postfix else ()
        pairs = (*pairs, "i", self.queue_id) if not self.postfix else ()
        answer = yield from self.event("E", b"", end, pairs)
        return "delivered" if answer == "c" else True
