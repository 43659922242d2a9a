#!/usr/bin/python3
"""Plays SMTP conversations from a text file against a mail server, and checks what comes back.

A file begins with the settings of the daemon under test, then come the cases:

    set ENFORCE_STAGE=mail             SPAMHAUS_DQS_ENFORCE_STAGE=mail for this file
    case a {list} listing is refused   a title; {names} come from the lines `each`
    each code=2 list=SBL               one run of the case per line
    only postfix                       the case makes sense with this mail server alone
    client 8.8.2.{code} login=alice    connect as this client: by XCLIENT with Postfix, from an address
                                       of this machine with Sendmail; `local` is the plain connection
    > MAIL FROM:<u@clean.example>      what the client says; \\xNN is a byte
    >+ RSET                            the same, held back and sent together with the next line
    < 250                              a line of the reply begins so
    <= 554 5.7.1 whole text            the reply is this one line; `<postfix`, `<=sendmail` for one server
    deliver u@clean.example            a whole mail, which must arrive in the sink
    field X-Spam: no / text A line     the mail to come has this header field, and this line instead of its text
    message                            the mail itself after DATA, `message first` with a name for later;
    delivered                          it arrives in the sink; `held` on hold, `lost` nowhere; all three with a name, too
    sees X-Spam: yes / unseen X-Spam   what was delivered has this line, and none that begins so
    count 2 X-Gatepost                 it has so many header fields of that name
    to u@example.org v@example.org     these and no other recipients got it
    log action=reject list=SBL         a line event=verdict of this case has these values (codes in any order)
    nolog action=reject                none has
    asked 2.2.8.8 zen / unasked ...    the name server was asked this since the case began, or was not; a zone
                                       with dots is one beside those of DQS
    within 3                           seconds since `client`, at most
    map From:a.example OK              the access map has this line more: in place of the file that it had, and in force
    badmap From:a.example MAYBE        the same with a line that makes it no map: the one before stays
    setting API_KEY={key2}             the env file now says only this;   reload    SIGHUP
    terminate / exited                 SIGTERM, listener gone / process gone

Sendmail puts "<address>... " between code and text of a refusal; it is taken out before comparing.
Exit status: 0 all cases passed, 1 some failed.
"""
import argparse
import datetime
import os
import re
import shlex
import signal
import socket
import sys
import time
import uuid

PATIENCE = 15.0


class Failure(Exception):
    """What was expected and what came instead."""


def parse(path):
    """The settings of a file and its cases: (title, rows of values, only for, [(line number, verb, rest)])."""
    settings, cases = [], []
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        verb, _, rest = line.partition(" ")
        if verb == "set":
            settings.append(rest)
        elif verb == "case":
            cases.append((rest, [], [], []))
        elif verb == "each":
            cases[-1][1].append(dict(word.split("=", 1) for word in shlex.split(rest)))
        elif verb == "only":
            cases[-1][2].append(rest)
        else:
            cases[-1][3].append((number, verb, rest))
    return settings, cases


def fields(line):
    """The key=value pairs of a log line."""
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)
    return {name: value[1:-1].replace('\\"', '"') if value.startswith('"') else value for name, value in pairs}


def until(seconds, condition, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(what() if callable(what) else what)
        time.sleep(0.02)


class Case:
    """One conversation: a connection, its place in the daemon's log, the mails it sent."""
    original = ""

    def __init__(self, options, values):
        self.options, self.values = options, values
        self.socket, self.file, self.unsent = None, None, b""
        self.fields, self.texts, self.mails, self.arrived = [], [], {}, ""
        self.log_start = self.size(options.log)
        self.query_start = self.size(options.queries)
        self.began = time.monotonic()
        # A line of the case before may still be on its way to the log; the time that it bears tells, once
        # the millisecond in which this case begins is over.
        self.born = self.now()
        while self.now() == self.born:
            pass

    @staticmethod
    def now():
        now = datetime.datetime.now(datetime.timezone.utc)
        return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03}Z"

    @staticmethod
    def size(path):
        return os.path.getsize(path) if path and os.path.exists(path) else 0

    @staticmethod
    def since(path, start):
        with open(path, "rb") as file:
            file.seek(start)
            return file.read().decode("utf-8", "replace")

    def note(self, mark, data):
        with open(self.options.transcript, "ab") as file:
            file.write(mark + data.rstrip(b"\r\n") + b"\n")

    def close(self):
        if self.socket:
            self.file.close()
            self.socket.close()

    # Speaking and listening

    def send(self, data):
        self.note(b"> ", data)
        self.socket.sendall(data)

    def reply(self):
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                raise Failure("the server closed the connection" + (f" after {lines}" if lines else ""))
            self.note(b"< ", line)
            line = line.decode("utf-8", "replace").rstrip("\r\n")
            if self.options.mta == "sendmail":
                line = re.sub(r"^([45]\d\d[ -]\d\.\d+\.\d+) .*?@.*?\.\.\. ", r"\1 ", line)
            lines.append(line)
            if line[3:4] != "-":
                return lines

    def expect(self, wanted, whole=False):
        lines = self.reply()
        if whole:
            good = lines == [wanted]
        else:
            good = any((line[:3] + " " + line[4:]).startswith(wanted) for line in lines)
        if not good:
            raise Failure(f"expected {wanted!r}, got {' / '.join(lines)!r}")

    def exchange(self, line, wanted):
        self.send(line.encode() + b"\r\n")
        self.expect(wanted)

    # Verbs

    def client(self, rest):
        address, *attributes = rest.split()
        attributes = dict(word.split("=", 1) for word in attributes)
        self.began = time.monotonic()
        host, source = "127.0.0.1", None
        if self.options.mta == "sendmail" and address != "local":
            source = (address, 0)
            host = "::1" if ":" in address else host
        self.socket = socket.create_connection((host, self.options.port), PATIENCE, source)
        self.file = self.socket.makefile("rb")
        if self.options.mta == "postfix" and address != "local":
            self.expect("220")
            self.exchange("EHLO proxy.test.example", "250")
            words = {"NAME": "[UNAVAILABLE]", "ADDR": ("IPV6:" if ":" in address else "") + address}
            words.update({name.upper(): value for name, value in attributes.items()})
            self.send(("XCLIENT " + " ".join(f"{name}={value}" for name, value in words.items())).encode() + b"\r\n")

    def say(self, rest, flush=True):
        data = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda found: bytes.fromhex(found[1].decode()), rest.encode())
        self.unsent += data + b"\r\n"
        if flush:
            data, self.unsent = self.unsent, b""
            self.send(data)

    def message(self, name=""):
        self.mails[name] = self.mails[""] = mail = uuid.uuid4().hex
        fields = ["From: <u@clean.example>", "To: <u@example.org>", "Subject: test", f"Message-ID: <{mail}@clean.example>"]
        lines = [*fields, *self.fields, "", *(self.texts or ["A test."]), ".", ""]
        self.fields, self.texts = [], []
        self.send("\r\n".join(lines).encode())

    def find(self, name, directory, prefix=""):
        """The text of the file that has this mail."""
        for folder, _, files in os.walk(directory):
            for file in files:
                try:
                    with open(os.path.join(folder, file), "rb") as stored:
                        text = stored.read()
                except OSError:
                    # Queues are on the move.
                    continue
                if file.startswith(prefix) and self.mails[name].encode() in text:
                    return text.decode("utf-8", "replace")
        return None

    def delivered(self, name=""):
        until(PATIENCE, lambda: self.find(name, self.options.sink), "the mail never reached the sink")
        self.arrived = self.find(name, self.options.sink)

    def held(self, name=""):
        # Sendmail marks what is on hold by the name of the file.
        hold, prefix = {"postfix": ("hold", ""), "sendmail": ("", "hf")}[self.options.mta]
        hold = os.path.join(self.options.queue, hold)
        until(PATIENCE, lambda: self.find(name, hold, prefix), "the mail is not on hold")
        if self.find(name, self.options.sink):
            raise Failure("the mail is on hold, and was delivered")

    def lost(self, name=""):
        until(PATIENCE, lambda: not self.find(name, self.options.queue), "the mail is still in the queue")
        if self.find(name, self.options.sink):
            raise Failure("the mail was delivered")

    def lines(self):
        """What was delivered, with folded lines joined."""
        return re.sub(r"\r?\n[ \t]+", " ", self.arrived).splitlines()

    def sees(self, rest):
        if rest not in self.lines():
            raise Failure(f"not in what was delivered: {self.lines()}")

    def unseen(self, rest):
        for line in self.lines():
            if line.lower().startswith(rest.lower()):
                raise Failure(f"in what was delivered: {line}")

    def recipients(self, wanted):
        # The sink notes the commands that it was given.
        found = [line.split("<")[1].split(">")[0] for line in self.lines() if line.startswith("X-Rcpt-Args: ")]
        if sorted(found) != sorted(wanted):
            raise Failure(f"delivered to {found}")

    def count(self, rest):
        number, name = rest.split()
        found = [line for line in self.lines() if line.lower().startswith(name.lower() + ":")]
        if len(found) != int(number):
            raise Failure(f"there are {len(found)}: {found}")

    def deliver(self, sender):
        self.exchange(f"MAIL FROM:<{sender}>", "250")
        self.exchange("RCPT TO:<u@example.org>", "250")
        self.exchange("DATA", "354")
        self.message()
        self.expect("250")
        self.delivered()

    def verdicts(self):
        lines = self.since(self.options.log, self.log_start).splitlines()
        return [fields(line) for line in lines if "event=" in line and line.split(" ", 1)[0] > self.born]

    @staticmethod
    def matches(line, wanted):
        return all(sorted(line.get(name, "").split(",")) == sorted(value.split(",")) for name, value in wanted.items())

    def log(self, rest):
        wanted = {"event": "verdict", **fields(rest)}
        until(2, lambda: any(self.matches(line, wanted) for line in self.verdicts()),
              lambda: f"no log line with {rest}; there is: "
                      + "; ".join(" ".join(f"{n}={v}" for n, v in line.items())
                                  for line in self.verdicts() if line["event"] == "verdict"))

    def nolog(self, rest):
        wanted = {"event": "verdict", **fields(rest)}
        for line in self.verdicts():
            if self.matches(line, wanted):
                raise Failure(f"a log line with {rest}: {line}")

    def was_asked(self, rest):
        subject, zone = rest.split()
        zone = re.escape(zone) if "." in zone else rf"[a-z0-9]{{26}}\.{zone}\.dq\.spamhaus\.net"
        name = rf"\s{re.escape(subject)}\.{zone}\s"
        return re.search(name, self.since(self.options.queries, self.query_start), re.I)

    def map(self, line, word="is read anew"):
        path, start = self.options.map, self.size(self.options.log)
        if not self.original:
            with open(path, encoding="utf-8") as file:
                Case.original = file.read()
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(f"{self.original}{line}\n")
        os.rename(path + ".new", path)
        until(5, lambda: re.search(f"event=source .*{word}", self.since(self.options.log, start)), f"the log has no: {word}")

    def badmap(self, line):
        self.map(line, "cannot be used")

    def reload(self):
        start = self.size(self.options.log)
        os.kill(self.options.pid, signal.SIGHUP)
        until(5, lambda: "event=reload" in self.since(self.options.log, start), "no log line event=reload within 5 s")

    def terminate(self):
        os.kill(self.options.pid, signal.SIGTERM)

        # Looks without connecting, which a listener that is merely not served would take for ever.
        def closed():
            with open("/proc/net/tcp", encoding="ascii") as table:
                rows = [row.split() for row in table.readlines()[1:]]
            return not any(row[3] == "0A" and int(row[1].split(":")[1], 16) == self.options.milter_port for row in rows)
        until(5, closed, "still listens 5 s after SIGTERM")

    def is_gone(self):
        try:
            with open(f"/proc/{self.options.pid}/stat", encoding="ascii") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    def setting(self, rest):
        with open(self.options.env_file, "w", encoding="utf-8") as file:
            file.write(f"SPAMHAUS_DQS_{rest}\n")

    def run(self, verb, rest):
        other = {"postfix": "sendmail", "sendmail": "postfix"}[self.options.mta]
        if verb.startswith("<"):
            if not verb.endswith(other):
                self.expect(rest, whole=verb.startswith("<="))
        elif verb in (">", ">+"):
            self.say(rest, flush=verb == ">")
        elif verb == "to":
            self.recipients(rest.split())
        elif verb == "field":
            self.fields.append(rest)
        elif verb == "text":
            self.texts.append(rest)
        elif verb in ("client", "deliver", "log", "nolog", "setting", "message", "delivered", "held", "lost", "sees", "unseen",
                      "count", "map", "badmap"):
            getattr(self, verb)(rest)
        elif verb in ("reload", "terminate"):
            getattr(self, verb)()
        elif verb == "asked":
            until(2, lambda: self.was_asked(rest), f"the name server was not asked for {rest}")
        elif verb == "unasked":
            if self.was_asked(rest):
                raise Failure(f"the name server was asked for {rest}")
        elif verb == "within":
            taken = time.monotonic() - self.began
            if taken > float(rest):
                raise Failure(f"took {taken:.2f} s, more than {rest} s")
        elif verb == "exited":
            until(10, self.is_gone, "the daemon is still there")
        else:
            raise Failure(f"unknown verb {verb}")

    def play(self, lines):
        try:
            for number, verb, rest in lines:
                for name, value in self.values.items():
                    rest = rest.replace("{" + name + "}", value)
                try:
                    self.run(verb, rest)
                except (Failure, OSError) as error:
                    raise Failure(f"line {number}: {verb} {rest}: {error}") from error
        finally:
            self.close()


def play(options):
    failed = 0
    name = os.path.basename(options.file).removesuffix(".txt")
    _, cases = parse(options.file)
    for title, rows, only, lines in cases:
        if only and options.mta not in only:
            continue
        for row in rows or [{}]:
            values = {**row, "key": options.key, "key2": options.key2}
            shown = f"{options.suite}: {name}: {title}"
            for word, value in row.items():
                shown = shown.replace("{" + word + "}", value)
            shown += f" (port {options.port})"
            with open(options.transcript, "ab") as file:
                file.write(f"\n== {shown}\n".encode())
            try:
                Case(options, values).play(lines)
                print(f"ok {shown}", flush=True)
            except Failure as failure:
                failed += 1
                print(f"FAIL {shown}\n    {failure}", flush=True)
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    settings = commands.add_parser("settings", help="print the settings of a file, one NAME=VALUE a line")
    clients = commands.add_parser("clients", help="print every client address of the files")
    clients.add_argument("file", nargs="+")
    player = commands.add_parser("play")
    player.add_argument("--mta", choices=("postfix", "sendmail"), required=True)
    player.add_argument("--port", type=int, required=True)
    player.add_argument("--map")
    player.add_argument("--milter-port", type=int, default=11332)
    player.add_argument("--pid", type=int, required=True)
    for name in ("sink", "queue", "suite", "log", "queries", "env-file", "key", "key2", "transcript"):
        player.add_argument("--" + name, required=True)
    for one in (settings, player):
        one.add_argument("file")
    options = parser.parse_args()
    if options.command == "settings":
        for setting in parse(options.file)[0]:
            print(setting)
        return 0
    if options.command == "clients":
        found = set()
        for path in options.file:
            for _, rows, _, lines in parse(path)[1]:
                for row in rows or [{}]:
                    for _, verb, rest in lines:
                        if verb == "client":
                            for word, value in row.items():
                                rest = rest.replace("{" + word + "}", value)
                            found.add(rest.split()[0])
        print("\n".join(sorted(found - {"local"})))
        return 0
    return play(options)


if __name__ == "__main__":
    sys.exit(main())
