"""Faults of SMTP clients, as an MTA passes them on: F12 to F20."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

from peers import NEGOTIATION
from table import row
from world import CLEAN, LISTED, Daemon, Wire, connecting, expect, packet, session, strings, until

# A line of the log: time, level, fields; printable ASCII and nothing else.
LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z +[A-Z]+ event=[a-z-]+( [a-z_]+=(\"[^\"\\]*(?:\\.[^\"\\]*)*\"|[!#-~]*))*")
# A reply of the milter protocol: lines of SMTP, percent signs doubled.
TEXT = rb"[45]\.\d{1,3}\.\d{1,3} (?:[\x20-\x24\x26-\x7e]|%%)+"
REPLY = re.compile(rb"(?:[45]\d\d-" + TEXT + rb"\r\n)*[45]\d\d " + TEXT + rb"\0")


@row(
    "F12", "client addresses: Unix socket, unknown, IPv4-mapped, scoped IPv6, private, garbage", "CONNECT, raw; the name server counts",
    "no question about what no list can know, a mapped address is its IPv4 address, nothing is refused or closed for its form",
    "a_client_without_an_address_is_let_in_and_the_log_says_why, an_ipv4_mapped_address_is_its_ipv4_address, "
    "sendmails_ipv6_tag_is_taken_off_and_a_zone_id_asks_nothing, addresses_that_no_public_list_can_know_are_not_asked_about",
)
def addresses(stage):
    daemon = Daemon(stage, "addresses", script={"*": "127.0.0.2"})
    unasked = [
        ("U", "", "localhost"), ("L", "/run/mail.sock", "localhost"), ("4", "unknown", "unknown"), ("4", "300.1.2.3", "x"),
        ("4", "", "x"), ("6", "not an address", "x"), ("6", "fe80::1%eth0", "x"), ("6", "IPv6:fe80::1%eth0", "x"), ("4", "10.1.2.3", "x"),
        ("4", "127.0.0.1", "x"), ("6", "::1", "x"), ("6", "::ffff:192.168.1.1", "x"), ("6", "fd00::1", "x"), ("4", "169.254.1.1", "x"),
        ("4", "100.64.0.1", "x"), ("6", "2001:db8::1", "x"), ("4", "8.8.2.2.2", "x"),
    ]
    for family, client, name in unasked:
        wire = Wire(daemon)
        wire.greet()
        expect(wire.connect(client, family, name)[0] in "ca", f"{family} {client!r} goes on")
        wire.close()
    expect(not daemon.names.asked(), "nobody is asked about them")
    asked = [("6", "::ffff:8.8.2.2"), ("6", "IPv6:::ffff:8.8.2.2"), ("6", "2a00:1:2::3"), ("6", "IPv6:2a00:1:2::4")]
    for family, client in asked:
        wire = Wire(daemon)
        wire.greet()
        expect(wire.connect(client, family)[0] == "y", f"{client} is looked up")
        wire.close()
    names = daemon.names.asked()
    expect(names["2.2.8.8.zen"] == 1 and len(names) == 3, f"names: {names}")
    daemon.stop()
    return f"{len(unasked)} forms let in without a question, {len(asked)} asked about by {len(names)} names"


@row(
    "F13", "HELO as a literal, an address, a single label, empty, in 8 bits, IDNA, with trailing dots, with an underscore",
    "HELO, raw; DBL lists everything, and the name server counts", "no question about what is no domain; every spelling of a domain is one name",
    "address_literals_are_no_domains, a_name_that_ends_in_a_number_is_not_asked_about, single_labels_and_nothing_are_not_asked_about, "
    "a_helo_name_is_asked_in_lower_case_without_its_dot, no_octets_in_helo_make_an_error_of_the_filters_own, "
    "postfix: a HELO name in U-labels is looked up in A-labels",
)
def helos(stage):
    daemon = Daemon(stage, "helos", script={"dbl": "127.0.1.2"})

    def say(name):
        wire = Wire(daemon)
        wire.greet()
        wire.connect(CLEAN)
        code = wire.ask("H", strings(name))[0]
        wire.close()
        return code

    unasked = ["[1.2.3.4]", "[1.2.3.4", "[IPv6:2001:db8::1]", "1.2.3.4", "1.2.3.4.", "localhost", "LOCALHOST.", "", ".", "...", " ",
               b"b\xfcro", b"\xff\xfe\xfd", "mail.localdomain", "host.local", "a.12345"]
    daemon.names.asked()
    for name in unasked:
        expect(say(name) == "c", f"{name!r} goes on")
    names = [name for name in daemon.names.asked() if not name.endswith(".zen")]
    expect(not names, f"asked about {names}")
    same = {
        "listed.example.dbl": ["listed.example", "LISTED.Example", "listed.example.", "listed.example...", " listed.example "],
        "xn--bcher-kva.example.dbl": ["b\u00fccher.example".encode(), "xn--bcher-kva.example", "XN--BCHER-KVA.example."],
        "my_host.listed.example.dbl": ["my_host.listed.example", "MY_HOST.listed.example."],
    }
    for name, spellings in same.items():
        for spelling in spellings:
            expect(say(spelling) == "y", f"{spelling!r} is looked up")
        asked = [other for other in daemon.names.asked() if other.endswith(".dbl")]
        expect(asked == [name], f"{spellings}: asked about {asked}")
    daemon.stop()
    return f"{len(unasked)} forms asked about nowhere, {sum(map(len, same.values()))} spellings by {len(same)} names"


@row(
    "F15", "a domain so long that it does not fit beside the key", "MAIL with domains of 200 to 253 octets below a listed one; DBL lists everything",
    "shortened from the left, and asked", "a_name_too_long_to_ask_is_asked_without_its_left_labels, a_long_name_loses_labels_until_it_fits_beside_the_key",
)
def lengthy(stage):
    daemon = Daemon(stage, "lengthy", script={"dbl": "127.0.1.2"})
    longest = 0
    for size in range(200, 254):
        # Labels of 40 octets, and what is left.
        filler = "x" * (size - len(".listed.example"))
        domain = ".".join(filler[at + 1 : at + 42] for at in range(0, len(filler) - 1, 41)) + ".listed.example"
        expect(session(daemon, helo="[192.0.2.1]", sender=f"<u@{domain}>")[-1] == "y", f"a domain of {len(domain)} octets is looked up")
        names = [name.removesuffix(".dbl") for name in daemon.names.asked() if name.endswith(".dbl")]
        # None, where what is left is the name of the length before.
        expect(len(names) <= 1, f"{len(domain)}: {names}")
        expect(all(domain.endswith(name) and name.endswith(".listed.example") for name in names), f"{len(domain)}: {names}")
        longest = max(longest, max(map(len, names), default=0) + len(f".{stage.key}.dbl.dq.spamhaus.net"))
    expect(longest <= 253, f"a name of {longest} octets")
    daemon.stop()
    return f"54 lengths, all refused; the longest name that was asked has {longest} octets"


HOSTILE = [
    b"a\naction=accept x=1", b"a\r\n2026-01-01T00:00:00.000Z INFO event=verdict action=accept\r\n", b"a\x1b[31mred\x1b[0m", b"a\x07\x08\x7f",
    "a\u202egnp.exe\u2028b\u0085c".encode(), b"a\x9b31m", b'a" action=accept b="', b"a\\\" action=accept", b"a action=accept", b"a=b=c",
    b"a\0action=accept", b"\xff\xfe\xfd\x80", b"x" * 10_000, "\u00e9".encode() * 5_000, b"%s%n%x%d", b"${jndi:ldap://x.example/a}", b"\t\t\t",
]


def named(words, otherwise=b""):
    """A client's name that a packet can hold: NUL would end it."""
    return "x" if otherwise or b"\0" in words else words.decode("latin-1")


@row(
    "F16", "LF, CR, ESC, NUL, bidirectional marks, 10 KB, quotes and fields in HELO, address and macros", "a listed client that says so, raw",
    "one line for each verdict, of printable ASCII and below 2 KiB; no field of the client's making",
    "nothing_that_a_client_types_forges_a_line_of_the_log, no_client_writes_a_line_of_its_own, three_hundred_octets_of_garbage_cost_one_short_line",
)
def forgery(stage):
    daemon = Daemon(stage, "forgery", {"ENFORCE_STAGE": "rcpt", "LOG_LEVEL": "debug"})
    refused = 0
    for words in HOSTILE:
        for helo, sender, macro in ((words, b"<u@x.example>", b""), (b"mx.example", b"<" + words + b"@x.example>", words), (b"x", words, words)):
            wire = Wire(daemon)
            wire.greet()
            wire.connect(LISTED, name=named(words, macro))
            wire.ask("H", strings(helo))
            wire.ask("M", strings(sender), packet("D", b"M" + strings("i", macro, "{mail_host}", macro)))
            expect(wire.ask("R", strings(b"<" + words + b"@here.example>"))[0] == "y", f"{words[:40]!r} is refused")
            refused += 1
            wire.close()
    daemon.quiet()
    until(lambda: len(re.findall(r"^\S+ +INFO +event=verdict ", daemon.log(), re.M)) >= refused, 5, f"{refused} lines")
    lines = daemon.log().split("\n")[:-1]
    odd = [line for line in lines if not LINE.fullmatch(line)]
    expect(not odd, f"not of the form of a line: {odd[:2]}")
    verdicts = [line for line in lines if re.match(r"\S+ +INFO +event=verdict ", line)]
    expect(len(verdicts) == refused, f"{len(verdicts)} lines for {refused} verdicts")
    for line in verdicts:
        bare = re.sub(r"\"[^\"\\]*(?:\\.[^\"\\]*)*\"", '""', line)
        expect(re.findall(r" action=(\S*)", bare) == ["reject"], f"fields: {line}")
    longest = max(map(len, lines))
    expect(longest < 2048, f"a line of {longest} octets")
    daemon.stop()
    return f"{refused} verdicts, {refused} lines, the longest of {longest} octets"


@row(
    "F17", "%s%n, CRLF and a second reply in everything that can reach a reply", "a reply with all variables, hostile sender and recipient, raw",
    "lines of SMTP's grammar below 512 octets, at most three; percent signs doubled; real mail servers stay in step",
    "every_reply_packet_is_read_by_the_mta_as_what_it_is, no_text_can_start_a_line_of_its_own_choosing, "
    "a_percent_sign_is_doubled_on_the_wire, an_address_of_any_length_is_cut_in_a_reply, "
    "recipients: an unauthorised sender is refused and the other recipients get the mail, "
    "sendmail: an unauthorised sender is refused and the other recipients get the mail",
)
def replies(stage):
    every = "{ip} {domain} {zone} {list} {code} {stage} {host} {rule} {sender} {recipient}"
    settings = {"ENFORCE_STAGE": "rcpt"} | {f"REPLY_{name}": f"554 5.7.1 100% {every}" for name in ("ZEN", "HELO", "SENDER", "ZRD")}
    daemon = Daemon(stage, "replies", settings, {"*": "127.0.0.2", "dbl": "127.0.1.2"})
    # NUL ends a string: nothing behind it is said. And no mail server passes on more than 2,048 octets of a line.
    hostile = [*(words[:2000] for words in HOSTILE if b"\0" not in words), b"%s%n\r\n250 2.0.0 ok", b"u%0d%0a", b'"a\r\nb"', "\u00fc\u202e".encode()]
    longest = 0
    for client in (LISTED, "10.1.2.3"):
        for words in hostile:
            wire = Wire(daemon)
            wire.greet()
            wire.connect(client, name=words.decode("latin-1"))
            wire.ask("H", strings(words))
            wire.ask("M", strings(b"<" + words + b"@listed.example>"), packet("D", b"M" + strings("j", words[:64])))
            code, reply = wire.ask("R", strings(b"<" + words + b"@" + words + b".example>"))
            expect(code == "y" and REPLY.fullmatch(reply), f"{words[:40]!r}: {code} {reply!r}")
            lines = reply.rstrip(b"\0").replace(b"%%", b"%").split(b"\r\n")
            expect(len(lines) <= 3, f"{words[:40]!r}: {len(lines)} lines")
            longest = max(longest, *map(len, lines))
            wire.close()
    expect(longest <= 510, f"a line of {longest} octets")
    daemon.stop()
    return f"{2 * len(hostile)} replies; the longest line has {longest} octets"


@row(
    "F19", "100,000 refusals a minute; peers that speak no milter", "100,000 refusals as fast as they come, then 5,000 such connections",
    "every refusal has its line and none is lost; of the others 10 lines a minute, and an exact count of those held back",
    "many_equal_failures_are_few_lines, strangers_are_named_and_do_not_flood_the_log, nobody_waits_for_a_reader_that_is_stuck_and_what_is_lost_is_counted",
)
def refusals(stage):
    daemon = Daemon(stage, "refusals", script={"dbl": "127.0.1.2"})
    mails = packet("M", strings("<u@listed.example>")) * 100

    def refuse(_):
        wire = Wire(daemon)
        wire.send(NEGOTIATION + packet("C", connecting()) + packet("H", strings("[192.0.2.1]")))
        for _ in range(3):
            wire.answer()
        for _ in range(125):
            wire.send(mails)
            expect(all(wire.answer()[0] == "y" for _ in range(100)), "each is refused")
        wire.close()

    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(refuse, range(8)))
    rate = 100_000 / (time.monotonic() - began) * 60
    until(lambda: daemon.log().count(" event=verdict ") == 100_000, 20, "100,000 lines")
    expect(daemon.status()["log"]["lost"] == 0, "no line is lost")
    expect(rate > 100_000, f"only {rate:.0f} refusals a minute")
    for _ in range(5000):
        wire = Wire(daemon)
        wire.send(b"GET / HTTP/1.1\r\n\r\n")
        wire.close()
    daemon.quiet()
    until(lambda: daemon.sessions("malformed") == 5000, 20, "all are counted")
    lines = len(daemon.told(10, "event=protocol"))
    held = daemon.metric("gatepost_log_suppressed_total", event="protocol")
    expect(lines + held == 5000, f"{lines} lines and {held} held back of 5,000")
    daemon.stop()
    return f"{rate:,.0f} refusals a minute, 100,000 lines, none lost; {lines} lines for 5,000 strangers, {held} held back"


@row(
    "F20", "ever new domains", "100,000 of them, five times what is remembered, beside 50 that come again and again; then 1,000 sessions at once with "
    "new ones, while each question takes 0.15 s",
    "memory stays below 64 MiB, more than 90 % of the questions about the 50 are answered from memory; at most 512 questions are under way, and one in ten sent again, "
    "and the last session is answered within the stage's 1.8 s",
    "the_total_never_passes_the_limit_whatever_it_is, a_small_cache_stays_small, no_more_questions_are_under_way_than_allowed",
    note="100,000 new domains and not a million: memory is full after 20,000 answers, and from there on each new one takes the place of another. "
    "The hour of the soak forgets several hundred thousand, and its memory is flat.",
)
def domains(stage):
    daemon = Daemon(stage, "domains")
    size, batch = 100_000, 100
    hot = [f"hot{n}.example" for n in range(50)]

    def send(first):
        wire = Wire(daemon)
        wire.send(NEGOTIATION + packet("C", connecting()) + packet("H", strings("[192.0.2.1]")))
        for _ in range(3):
            wire.answer()
        for at in range(first, first + size // 16, batch):
            names = [f"d{n}.example" for n in range(at, at + batch)] + [hot[(at // batch + n) % 50] for n in range(10)]
            for name in names:
                wire.send(packet("M", strings(f"<u@{name}>")) + packet("A"))
            expect(all(wire.answer()[0] == "c" for _ in names), "each comes in")
        wire.close()

    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, range(0, size, size // 16)))
    took = time.monotonic() - began
    cache, peak, asked = daemon.status()["cache"], daemon.resident("VmHWM"), daemon.names.asked()
    expect(cache["entries"] <= cache["max"], f"{cache['entries']} entries of {cache['max']}")
    expect(peak < 64 << 10, f"{peak} KiB resident")
    questions = sum(asked[f"{name}.{zone}"] for name in hot for zone in ("dbl", "zrd"))
    hits = 1 - questions / (size // batch * 10 * 2)
    expect(hits > 0.9, f"{hits:.1%} of the questions about the 50 were answered from memory")
    daemon.names.script({"*": "late 150 nxdomain"})
    wires = [Wire(daemon) for _ in range(1000)]
    for wire in wires:
        wire.send(NEGOTIATION + packet("C", connecting("10.1.2.3")))
    for wire in wires:
        expect(wire.answer()[0] + wire.answer()[0] == "Oc", "each session begins")
    began = time.monotonic()
    for n, wire in enumerate(wires):
        wire.send(packet("M", strings(f"<u@late{n}.example>")))
    for wire in wires:
        expect(wire.answer()[0] == "c", "each comes in")
        wire.close()
    longest, at_once = time.monotonic() - began, daemon.names.peak()
    expect(longest < 2.0, f"the last of 1,000 was answered after {longest:.2f} s")
    # One in ten may be sent again, and ten more; the name server still has these when the first answer has come.
    expect(100 <= at_once <= 512 + 51 + 10, f"{at_once} questions at once")
    daemon.stop()
    return (
        f"{size / took:,.0f} new domains a second, {peak // 1024} MiB at most, {hits:.2%} from memory, {cache['entries']:,} entries; "
        f"{at_once} questions at once, 1,000 sessions answered in {longest:.2f} s"
    )
