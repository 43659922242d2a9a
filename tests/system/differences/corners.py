"""Corners written by hand: what no single answer or form shows, and every setting that makes a difference."""

from answers import ANSWERS, PATIENT
from forms import SPECIAL
from nameserver import reversed_address
from sessions import END, RSET, SHORT, Session, client, helo, mail, rcpt

BLACK, PHISH, YOUNG, ABUSED = "codes 127.0.1.2", "codes 127.0.1.4", "codes 127.0.2.3", "codes 127.0.1.102"
XBL, PBL = "codes 127.0.0.4", "codes 127.0.0.10"


class Corners:
    """Collects sessions; each has names and an address of its own."""

    def __init__(self):
        self.found, self.count = [], 0

    def add(self, title, steps, script=None, settings=None, tags=(), **more):
        self.found.append(Session(title, steps, script or {}, settings or {}, frozenset(tags), **more))

    def address(self):
        self.count += 1
        return f"8.8.{200 + self.count // 250}.{self.count % 250}"

    def usual(
        self,
        title,
        *,
        zen="nxdomain",
        helo_dbl="nxdomain",
        helo_zrd="nxdomain",
        dbl="nxdomain",
        zrd="nxdomain",
        settings=None,
        tags=(),
        at_connect=None,
        at_mail=None,
        rcpts=("<u@here.example>",),
        address=None,
        name="client.example",
        **more,
    ):
        """A client, a HELO name and a sender of whom the lists say this and that."""
        address = address or self.address()
        label = f"c{self.count}"
        script = {
            "zen": {reversed_address(address): zen},
            "dbl": {f"{label}h.example": helo_dbl, f"{label}s.example": dbl},
            "zrd": {f"{label}h.example": helo_zrd, f"{label}s.example": zrd},
        }
        steps = [
            client(address, macros=at_connect, name=name, tags=["zen:listed"] if zen in (XBL, PBL) else []),
            helo(f"mail.{label}h.example", *(["dbl:listed"] if helo_dbl == BLACK else [])),
            mail(f"<u@{label}s.example>", *(["dbl:listed"] if dbl in (BLACK, PHISH) else []), macros=at_mail),
            *map(rcpt, rcpts),
            END,
        ]
        self.add(title, steps, script, settings, tags, **more)


def corners():
    c = Corners()
    special(c)
    sequences(c)
    answers(c)
    standing(c)
    whitelists(c)
    settings(c)
    actions(c)
    return c.found


def special(c):
    for address in SPECIAL:
        script = {"zen": {reversed_address(address): XBL}}
        c.add(f"special-purpose {address}", [client(address, tags={"client:special"}), mail("<>"), rcpt(), END], script)
    for address in ("127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"):
        c.usual(f"local {address}: all is listed", address=address, zen=XBL, helo_dbl=BLACK, dbl=BLACK, tags={"client:local"})
    c.usual("local 127.0.0.1: the sender is listed", address="127.0.0.1", dbl=BLACK, tags={"client:local"})
    for number, address in enumerate(("fe80::1%eth0", "999.1.1.1", "1.2", "")):
        family = "6" if ":" in address else "4"
        c.add(
            f"an address that cannot be read: {address!r}",
            [client(address, family, {"client:unreadable"}), helo(f"mail.unread{number}.example"), mail("<>"), rcpt(), END],
        )


def sequences(c):
    listed = {"dbl": {"twice.example": BLACK}}
    both = {"dbl": {"both.example": PHISH}, "zrd": {"both.example": YOUNG}}
    alike = [helo("alike.example"), mail("<u@alike.example>"), rcpt(), END]

    def start():
        address = c.address()
        return [client(address), helo(f"mail.clean{c.count}.example")]

    c.add(
        "a second message after one that was refused",
        [*start(), mail("<u@one.twice.example>", "dbl:listed"), RSET, mail("<u@ok.example>"), rcpt(), END],
        listed,
    )
    c.add("the refused domain once more", [*start(), mail("<u@one.twice.example>", "dbl:listed")], listed, follows=True)
    c.add(
        "a second sender, listed",
        [*start(), mail("<u@fine.example>"), rcpt(), END, RSET, mail("<u@two.twice.example>", "dbl:listed")],
        listed,
    )
    c.add("HELO twice, listed the second time", [*start(), helo("three.twice.example", "dbl:listed")], listed)
    once = [client(c.address()), *alike]
    c.add("HELO and sender alike", once)
    c.add("the same session once more", once, follows=True)
    c.add("no HELO", [client(c.address()), mail("<u@nohelo.example>"), rcpt(), END])
    c.add("many recipients", [*start(), mail("<u@many.example>"), *[rcpt(f"<u{n}@here.example>") for n in range(20)], END])
    c.add("parameters of MAIL", [*start(), mail(b"<u@four.twice.example>\0SIZE=10\0BODY=8BITMIME", "dbl:listed")], listed)
    c.add("a name listed in DBL and ZRD", [*start(), mail("<u@both.example>", "dbl:listed")], both)
    # A failure is believed for five minutes by the one, for some seconds by the other.
    for zone, words, stage in (("zen", XBL, "client"), ("dbl", BLACK, "sender"), ("zrd", YOUNG, "sender")):
        address = c.address()
        label = f"hiccup{c.count}.example"
        subject = reversed_address(address) if zone == "zen" else label
        steps = [
            client(address, tags={f"zen:{'servfail' if zone == 'zen' else 'none'}"}),
            mail(f"<u@{label}>", f"{zone}:servfail"),
            rcpt(),
            END,
        ]
        c.add(f"a {stage} of whom {zone.upper()} fails once", steps, {zone: {subject: "servfail"}})
        steps = [client(address, tags={"after:failure"}), mail(f"<u@{label}>", "after:failure"), rcpt(), END]
        c.add(
            f"the same {stage} of whom {zone.upper()} failed, six seconds later, listed now",
            steps,
            {zone: {subject: words}},
            follows=True,
            later=6,
        )
    # An operator's code.
    for last in (250, 251, 252, 254, 255):
        address, other = c.address(), c.address()
        c.add(
            f"a client of whom the list says 127.255.255.{last}",
            [client(address, tags={"zen:error"})],
            {"zen": {reversed_address(address): f"codes 127.255.255.{last}"}},
        )
        c.add(
            f"another client after 127.255.255.{last}, listed",
            [client(other, tags={"after:error"})],
            {"zen": {reversed_address(other): XBL}},
            follows=True,
        )
    # A dead list.
    addresses = [c.address() for _ in range(11)]
    for n, address in enumerate(addresses):
        tags = {"zen:servfail"} if n < 10 else {"after:failures"}
        c.add(
            f"client {n + 1} of a list that fails",
            [client(address, tags=tags)],
            {"zen": {reversed_address(address): "servfail"}},
            follows=n > 0,
        )
    c.add(
        "ten questions at once",
        [client("unknown", "U"), mail("<u@crowd.example>", "at:once")],
        {"dbl": {"crowd.example": "delay 400 127.0.1.102"}, "zrd": {"crowd.example": "delay 400 nxdomain"}},
        times=10,
    )
    c.add(
        "lists that keep silent, with the usual times",
        [client(c.address()), mail("<u@silent.example>", "dbl:silence", "zrd:silence", "times:usual")],
        {"dbl": {"silent.example": "silence"}, "zrd": {"silent.example": "silence"}},
    )
    c.add(
        "a list that keeps silent, with the usual times",
        [client("8.8.199.7", tags={"zen:silence"})],
        {"zen": {"7.199.8.8": "silence"}},
    )


def answers(c):
    """Everything that a list can say, about a plain address or name."""
    for n, (words, tag) in enumerate(ANSWERS["zen"]):
        answer(c, f"ZEN says: {words}", words, zen=(words, tag))
    for zone in ("dbl", "zrd"):
        for n, (words, tag) in enumerate(ANSWERS[zone]):
            stage = "helo" if n % 2 else "sender"
            answer(c, f"{zone.upper()} says of a {stage} name: {words}", words, **{f"{stage}_{zone}": (words, tag)})
    for words in ("codes 127.0.0.10 127.0.0.4 127.0.0.3", "codes 127.0.0.30 127.0.0.9", "codes 127.0.0.2 127.0.0.2"):
        c.usual(f"several codes: {words}", zen=words)
    c.usual("DBL and ZRD of HELO and sender", helo_dbl=ABUSED, helo_zrd="codes 127.0.2.25", dbl=ABUSED, zrd=YOUNG)
    c.usual("everything is listed", zen=XBL, helo_dbl=BLACK, dbl=BLACK)
    c.usual("HELO name and sender are listed", helo_dbl=BLACK, dbl=BLACK)
    for zone in ("zen", "helo_dbl", "dbl", "helo_zrd", "zrd"):
        words = XBL if zone == "zen" else BLACK if zone.endswith("dbl") else YOUNG
        c.usual(f"the words of a reply: {zone}", settings={"REPLY_STYLE": "new"}, tags={"style:new"}, **{zone: words})


def answer(c, title, words, **said):
    """A session in which one list says something of one thing."""
    address, clean = c.address(), ("nxdomain", "none")
    names = {stage: f"a{c.count}{stage}.example" for stage in ("helo", "sender")}
    script = {"zen": {reversed_address(address): said.get("zen", clean)[0]}}
    for zone in ("dbl", "zrd"):
        script[zone] = {name: said.get(f"{stage}_{zone}", clean)[0] for stage, name in names.items()}
    tags = {stage: [f"{zone}:{said.get(f'{stage}_{zone}', clean)[1]}" for zone in ("dbl", "zrd")] for stage in names}
    steps = [
        client(address, tags=["zen:" + said.get("zen", clean)[1]]),
        helo(names["helo"], *tags["helo"]),
        mail(f"<u@{names['sender']}>", *tags["sender"]),
        rcpt(),
        END,
    ]
    c.add(title, steps, script, SHORT if words.split()[0] in PATIENT else {})


def standing(c):
    login = {"{auth_authen}": "alice", "{auth_type}": "PLAIN"}
    c.usual("a login, all clean", at_mail=login, tags={"login"})
    c.usual("a login, the sender is listed", at_mail=login, dbl=BLACK, tags={"login"})
    c.usual("a login, the client is listed", at_mail=login, zen=PBL, tags={"login"})
    c.usual("a login, the HELO name is listed", at_mail=login, helo_dbl=BLACK, tags={"login"})
    c.usual(
        "a login, the client is listed, refused at MAIL",
        at_mail=login,
        zen=PBL,
        settings={"ENFORCE_STAGE": "mail"},
        tags={"login", "enforce"},
    )
    for port in ("587", "465"):
        c.usual(f"port {port}, the client is listed", at_connect={"{daemon_port}": port}, zen=PBL, tags={"submission"})
        c.usual(f"port {port}, the HELO name is listed", at_connect={"{daemon_port}": port}, helo_dbl=BLACK, tags={"submission"})
    c.usual("port 587, the sender is listed", at_connect={"{daemon_port}": "587"}, dbl=BLACK, tags={"submission"})
    c.usual("port 25, the client is listed", at_connect={"{daemon_port}": "25", "{daemon_name}": "MTA"}, zen=PBL)
    c.usual(
        "a login that counts for nothing, the sender is listed",
        at_mail=login,
        dbl=BLACK,
        settings={"AUTH_SKIP": "0", "AUTH_DOMAIN_CHECKS": "1"},
    )


def whitelists(c):
    names = {
        "DOMAIN_WHITELIST": "exact.example, Dotted.Example.",
        "DOMAIN_SUFFIX_WHITELIST": "edu.example",
        "IP_WHITELIST": "8.8.250.1, 2001:470:250::1",
    }
    everything = {
        "dbl": {"example": BLACK},
        "zen": {reversed_address(a): XBL for a in ("8.8.250.1", "8.8.250.2", "2001:470:250::1")},
    }
    for address in ("8.8.250.1", "8.8.250.2", "2001:470:250::1"):
        spared = [] if address == "8.8.250.2" else ["spared"]
        c.add(
            f"client {address} and a list of addresses",
            [client(address, tags=["zen:listed", *spared]), helo("listed.example", "dbl:listed")],
            everything,
            names,
        )
        c.add(
            f"client {address} and a list for all of its session",
            [
                client(address, tags=["zen:listed", *spared]),
                helo("listed.example", "dbl:listed"),
                mail("<u@listed.example>", "dbl:listed"),
                rcpt(),
                END,
            ],
            everything,
            names | {"WHITELIST_SKIP_ALL": "1"},
        )
    for name in (
        "exact.example",
        "sub.exact.example",
        "dotted.example",
        "EXACT.example.",
        "edu.example",
        "a.b.edu.example",
        "notedu.example",
    ):
        c.add(f"HELO {name} and a list of domains", [client(c.address()), helo(name, "dbl:listed")], everything, names)
        c.add(
            f"sender {name} and a list of domains",
            [client(c.address()), mail(f"<u@{name}>", "dbl:listed"), rcpt(), END],
            everything,
            names,
        )
    c.add(
        "an IDN in a list of domains",
        [
            client(c.address()),
            helo("xn--bcher-kva.example", "dbl:listed"),
            mail("<u@xn--bcher-kva.example>", "dbl:listed"),
            rcpt(),
            END,
        ],
        everything,
        {"DOMAIN_SUFFIX_WHITELIST": "bücher.example"},
        tags={"whitelist:idn"},
    )
    c.add(
        "a network in a list of addresses",
        [client("8.8.250.1", tags=["zen:listed"]), helo("clean.test")],
        everything,
        {"IP_WHITELIST": "8.8.250.0/24"},
        tags={"whitelist:network"},
    )
    c.add(
        "mapped and a list of addresses",
        [client("::ffff:8.8.250.1", tags=["client:mapped"]), helo("clean.test")],
        everything,
        names,
    )


def settings(c):
    for value in ("0", "no", "False"):
        c.usual(f"ZEN_ENABLE={value}", zen=XBL, settings={"ZEN_ENABLE": value})
    c.usual("ZEN_ENABLE=off", zen=XBL, settings={"ZEN_ENABLE": "off"}, tags={"setting:off"})
    for codes in ("2,3,4,9", "10", "2, 3 ,30"):
        for words in (XBL, PBL, "codes 127.0.0.30"):
            c.usual(f"ZEN_REJECT_CODES={codes}, {words}", zen=words, settings={"ZEN_REJECT_CODES": codes})
    for value in ("abc", "2;3"):
        c.usual(f"ZEN_REJECT_CODES={value}", zen=XBL, settings={"ZEN_REJECT_CODES": value}, tags={"start"})
        c.usual(
            f"ZEN_REJECT_CODES={value} with COMPAT_PARSE",
            zen=XBL,
            settings={"ZEN_REJECT_CODES": value, "COMPAT_PARSE": "1"},
            tags={"compat:codes"},
        )
    for name, value in (
        ("IP_WHITELIST", "8.8.0.2, bogus"),
        ("CACHE_MAX", "-1"),
        ("CACHE_MAX", "many"),
        ("API_KEY", "evil.key with space"),
        ("API_KEY", ""),
        ("DNS_LIFETIME", "soon"),
        ("DOMAIN_SUFFIX_WHITELIST", "com"),
        ("NAMESERVERS", "127.0.0.2;127.0.0.3"),
    ):
        c.usual(f"{name}={value!r} at start", settings={name: value}, tags={"start"})
    c.usual("CACHE_MAX=0", dbl=BLACK, settings={"CACHE_MAX": "0"})
    c.usual("CACHE_MAX=-1 with COMPAT_PARSE", zen=XBL, settings={"CACHE_MAX": "-1", "COMPAT_PARSE": "1"}, tags={"compat:cache"})
    c.usual("IP_WHITELIST with junk and COMPAT_PARSE", zen=XBL, settings={"IP_WHITELIST": "8.8.0.2, bogus", "COMPAT_PARSE": "1"})
    c.usual("DNS_LIFETIME=5 is above MILTER_TIMEOUT", zen=XBL, settings={"DNS_LIFETIME": "5"})


def actions(c):
    def new(kind, title, setting, **what):
        c.usual(
            f"{title}: {', '.join(f'{name}={value}' for name, value in setting.items())}",
            settings=setting,
            tags={kind} | what.pop("more_tags", set()),
            **what,
        )

    for stage in ("helo", "mail", "rcpt"):
        for zone, words in (("zen", XBL), ("helo_dbl", BLACK), ("dbl", BLACK)):
            c.usual(f"{zone} is listed, refused at {stage}", settings={"ENFORCE_STAGE": stage}, tags={"enforce"}, **{zone: words})
    for act in ("log", "tag", "quarantine", "discard", "tempfail"):
        new("setting:milder", "a young domain", {"ZRD_ACTION": act}, zrd=YOUNG)
    new("setting:milder", "a dynamic address", {"ZEN_ACTION": "10-11=tag"}, zen=PBL)
    new("setting:milder", "an infected machine", {"ZEN_ACTION": "10-11=tag"}, zen=XBL)
    new("setting:stricter", "an abused domain", {"DBL_ACTION": "102-106=reject"}, dbl=ABUSED)
    for act in ("tag", "quarantine", "discard", "tempfail"):
        new("setting:stricter", "an abused domain", {"DBL_ACTION": f"102-106={act}"}, dbl=ABUSED)
    new("setting:milder", "a phisher", {"DBL_REJECT_CODES": "2,5"}, dbl=PHISH)
    new("setting:milder", "a domain of three hours", {"ZRD_MAX_AGE": "2"}, zrd=YOUNG)
    new("setting:less", "DBL is off", {"DBL_ENABLE": "0"}, dbl=BLACK)
    new("setting:less", "ZRD is off", {"ZRD_ENABLE": "0"}, zrd=YOUNG)
    new("setting:milder", "looking on", {"DRY_RUN": "1"}, zen=XBL)
    new("setting:less", "a trusted network", {"TRUSTED_NETWORKS": "8.8.200.0/22"}, zen=XBL)
    new("setting:less", "a domain of ours", {"LOCAL_DOMAINS": "example"}, helo_dbl=BLACK)
    new(
        "enforce",
        "an exempt recipient",
        {"ENFORCE_STAGE": "rcpt", "EXEMPT_RECIPIENTS": "postmaster@"},
        zen=XBL,
        rcpts=("<postmaster@here.example>", "<u@here.example>"),
    )
    new("setting:more", "the client's name", {"RDNS_ENABLE": "1"}, name="mail.rdns.example")
    new("setting:more", "private addresses", {"SKIP_SPECIAL": "0"}, address="10.9.8.7", zen=XBL)
    new("setting:less", "a submission service by its name", {"SUBMISSION_DAEMONS": "subm"}, zen=PBL, at_connect={"{daemon_name}": "subm"})
    new("setting:authbl", "stolen passwords", {"AUTHBL_ENABLE": "1"}, at_mail={"{auth_authen}": "alice"})
    new("setting:failure", "a list that fails", SHORT | {"ON_FAILURE": "tempfail"}, zen="silence", more_tags={"zen:silence"})
    new("setting:words", "a word of one's own", {"REPLY_ZEN": "554 5.7.1 go away, {ip}"}, zen=XBL)
