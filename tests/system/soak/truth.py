"""Who is listed where: known to the name server, to the files and to the oracle alike.

A name tells by itself what is true of it, so there are as many of each kind as a run needs.
"""

from dataclasses import dataclass

# What a client is, by the second octet of its address in 8.0.0.0/8: the code that ZEN has for it.
CLIENTS = {"clean": (20, None), "spam": (21, "127.0.0.2"), "exploit": (22, "127.0.0.4"), "dynamic": (23, "127.0.0.10"),
           "banned": (24, None), "friend": (25, "127.0.0.2")}
CODES = {octet: code for octet, code in CLIENTS.values() if code}
# IPv6 clients, by their network.
CLEAN6, SPAM6 = "2a00:1450:1:", "2a00:1450:2:"
SPAM6_NAME = ".2.0.0.0.0.5.4.1.0.0.a.2.zen"
# What a domain is, by what it ends with.
DOMAINS = {"clean": ("clean.example", None, None), "bad": ("bad.example", "dbl", "127.0.1.2"),
           "young": ("young.example", "zrd", "127.0.2.4")}
# How the daemon sees whether a list answers at all.
TESTS = {"2.0.0.127.zen": "127.0.0.2", "dbltest.com.dbl": "127.0.1.2", "test.zrd": "127.0.2.2"}

# Members of the files: every third is in, another third with each new file.
MEMBERS = 240
# Up to so many lines that mean nothing: by their number the daemon tells which file it has read.
FILLING = 20


def answer(name):
    """The words of a name server's script for a name with its zone."""
    subject, _, zone = name.rpartition(".")
    if name in TESTS:
        return TESTS[name]
    if zone == "zen":
        labels = subject.split(".")
        if len(labels) == 4 and labels[3] == "8" and int(labels[2]) in CODES:
            return CODES[int(labels[2])]
        return "127.0.0.2" if name.endswith(SPAM6_NAME) else "nxdomain"
    for suffix, where, code in DOMAINS.values():
        if where == zone and subject.endswith(suffix):
            return code
    return "nxdomain"


def client(kind, number):
    return f"8.{CLIENTS[kind][0]}.{number >> 8 & 255}.{number & 255}"


def client6(listed, number):
    return f"{SPAM6 if listed else CLEAN6}{number:x}::19"


def member(number, generation):
    return (number + generation) % 3 == 0


def banned_file(generation):
    """In the form ip4set, with the clients of this generation."""
    lines = [":127.0.0.2:banned"] + [client("banned", n) for n in range(MEMBERS) if member(n, generation)]
    return lines + [f"198.18.{n >> 8}.{n & 255}" for n in range(generation % FILLING)]


def access_file(generation):
    """An access map with the senders of this generation; what it says of recipients is the same in all."""
    lines = [f"From:a{n}.access.example\tERROR:5.7.1:550 soak access sender" for n in range(MEMBERS) if member(n, generation)]
    lines += ["To:closed@here.example\tERROR:5.1.1:550 soak access recipient"]
    return lines + [f"From:f{n}.filling.example\tOK" for n in range(generation % FILLING)]


def entries(lines):
    return len([line for line in lines if not line.startswith(":")])


@dataclass
class Rules:
    """A configuration: the stage at which it refuses, and what it does with dynamic addresses."""

    mark: str
    stage: str
    tags_dynamic: bool

    def text(self, directory):
        mark = self.mark
        action = '\naction = ["10-11=tag"]' if self.tags_dynamic else ""
        return f"""[enforce]
stage = "{self.stage}"
[zen]
enable = true{action}
[reply]
zen = "554 5.7.1 {mark} client {{ip}}"
helo = "550 5.7.1 {mark} helo {{domain}}"
sender = "550 5.7.1 {mark} sender {{domain}}"
zrd = "550 5.7.1 {mark} young {{domain}}"
[access]
map = ["text:{directory}/access"]
[[list]]
name = "friends"
file = "{directory}/friends"
format = "plain"
kind = "address"
[[list]]
name = "banned"
file = "{directory}/banned"
format = "ip4set"
[[rule]]
name = "friends"
list = "friends"
action = "allow"
[[rule]]
name = "banned"
list = "banned"
action = "reject"
reply = "554 5.7.1 {mark} banned {{ip}}"
"""


RULES = {rules.mark: rules for rules in (Rules("soak-a", "rcpt", False), Rules("soak-b", "mail", False), Rules("soak-c", "connect", True))}
# What no daemon may take in the place of one of these.
BROKEN = ('[enforce]\nstage = "later"\n[zen]\nenabel = true\n', "[zen\n", '[[rule]]\nname = "x"\nlist = "nowhere"\naction = "reject"\n')
STAGES = ("connect", "helo", "mail", "rcpt")
