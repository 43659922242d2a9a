"""A name server that does what a script says, in a process of its own, on port 53 of an address of its own.

Octets are put together by hand: it must be able to say what no library would. The script gives each name, without
key and zone base ("2.2.8.8.zen"), or each zone ("zen"), or a key, or all ("*"), a list of words:

127.0.0.2 ...   A records                     nxdomain, empty      not listed, with the SOA of DQS
ttl N           their time to live            bare                 not listed, without SOA
rcode N         a response code               aaaa, alias          another record; a CNAME before the records
silence         nothing                       tc                   cut over UDP, the rest over TCP
hang            takes TCP, and says nothing   late N               after N ms
loss P          drops P % of what comes       spread N             after 0 to N ms, so out of order
case            the name in the answer in capital letters
spoof           three forged answers of 127.0.0.2 before the one of the words after it
garbage         the right number and 60 octets of chance
"""

import heapq
import multiprocessing
import random
import selectors
import socket
import struct
import time
from collections import Counter

BASE = b"\2dq\10spamhaus\3net\0"
SOA = b"\2ns\7invalid\0\4host\7invalid\0" + struct.pack(">IIIII", 1, 600, 600, 3600, 150)


class Names:
    """The door to such a server."""

    def __init__(self, address, tcp=True, port=53, kind=None):
        self.address, (self.pipe, other) = address, multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(
            target=lambda: (kind or Server)(address, tcp, port, other).serve(), daemon=True
        )
        self.process.start()
        self.pipe.recv()

    def call(self, *words):
        self.pipe.send(words)
        return self.pipe.recv()

    def script(self, script):
        self.call("script", {name: words.split() for name, words in script.items()})

    def asked(self):
        """How often each name was asked since the last time, and over TCP as "NAME tcp"."""
        return self.call("take")

    def peak(self):
        """To how many names an answer was ever held back at the same time."""
        return self.call("peak")

    def close(self):
        self.process.terminate()
        self.process.join()


class Server:
    def __init__(self, address, tcp, port, pipe):
        self.pipe = pipe
        self.words, self.seen, self.held = {}, Counter(), []
        # Answers that are held back, and how many for each name.
        self.due, self.waiting, self.peak = [], Counter(), 0
        self.random = random.Random(address)
        self.ready = selectors.DefaultSelector()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.udp.bind((address, port))
        self.other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.other.bind((address, 0))
        self.ready.register(self.udp, selectors.EVENT_READ, self.datagrams)
        self.ready.register(pipe, selectors.EVENT_READ, self.order)
        if tcp:
            listener = socket.create_server((address, port), backlog=512)
            self.ready.register(listener, selectors.EVENT_READ, self.connection)
        self.udp.setblocking(False)
        pipe.send("ready")

    def serve(self):
        while True:
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                _, _, send, octets, name = heapq.heappop(self.due)
                self.waiting[name] -= 1
                if not self.waiting[name]:
                    del self.waiting[name]
                send(octets)
            wait = max(0.0, self.due[0][0] - now) if self.due else None
            for key, _ in self.ready.select(wait):
                key.data(key.fileobj)

    def order(self, pipe):
        words = pipe.recv()
        if words[0] == "script":
            self.words = words[1]
            pipe.send(None)
        elif words[0] == "peak":
            pipe.send(self.peak)
        else:
            seen, self.seen = self.seen, Counter()
            pipe.send(seen)

    def datagrams(self, udp):
        for _ in range(64):
            try:
                packet, client = udp.recvfrom(4096)
            except BlockingIOError:
                return
            self.question(packet, "", lambda octets, to=client: udp.sendto(octets, to), client)

    def connection(self, listener):
        stream, _ = listener.accept()
        self.held.append(stream)
        self.ready.register(stream, selectors.EVENT_READ, self.stream)

    def stream(self, stream):
        try:
            octets = stream.recv(4096)
        except ConnectionError:
            octets = b""
        if not octets:
            self.ready.unregister(stream)
            self.held.remove(stream)
            stream.close()
            return

        def send(reply):
            try:
                stream.sendall(struct.pack(">H", len(reply)) + reply)
            except OSError:
                pass

        # A question comes in one piece: it has some hundred octets.
        while len(octets) > 2:
            size = struct.unpack(">H", octets[:2])[0]
            self.question(octets[2 : 2 + size], " tcp", send, None)
            octets = octets[2 + size :]

    def question(self, packet, how, send, client):
        end, labels = 12, []
        while packet[end]:
            labels.append(packet[end + 1 : end + 1 + packet[end]])
            end += 1 + packet[end]
        end += 5
        name, zone, key = self.named([label.lower() for label in labels])
        self.seen[name + how] += 1
        self.act(self.words_for(name, zone, key), packet, end, how, send, client)

    def words_for(self, name, zone, key):
        known = (self.words.get(at) for at in (key, name, zone, "*"))
        return next((words for words in known if words), ["nxdomain"])

    def named(self, labels):
        """The subject with its zone, the zone, and the key."""
        names = [label.decode("latin-1") for label in labels]
        if len(names) > 5 and names[-3:] == ["dq", "spamhaus", "net"]:
            return ".".join([*names[:-5], names[-4]]), names[-4], names[-5]
        return ".".join(names), "", ""

    def act(self, words, packet, end, how, send, client):
        match words[0]:
            case "silence":
                return
            case "hang" if how:
                return
            case "hang":
                self.act(words[1:], packet, end, how, send, client)
            case "loss":
                if how or self.random.random() * 100 >= int(words[1]):
                    self.act(words[2:], packet, end, how, send, client)
            case "late" | "spread":
                wait = int(words[1]) / 1000
                wait = wait if words[0] == "late" else self.random.random() * wait

                def later(octets):
                    name = packet[12:end]
                    heapq.heappush(self.due, (time.monotonic() + wait, self.random.random(), send, octets, name))
                    self.waiting[name] += 1
                    self.peak = max(self.peak, len(self.waiting))

                self.act(words[2:], packet, end, how, later, client)
            case "garbage":
                send(packet[:2] + self.random.randbytes(60))
            case "case":
                reply = bytearray(self.reply(words[1:], packet, end, how))
                reply[12:end] = bytes(reply[12:end]).upper()
                send(bytes(reply))
            case "spoof":
                listed = self.reply(["127.0.0.2", "127.0.1.2"], packet, end, how)
                wrong = bytearray(listed)
                wrong[0] ^= 0x55
                send(bytes(wrong))
                # The right number, and a question about another name.
                wrong = bytearray(listed)
                wrong[13] ^= 0x01
                send(bytes(wrong))
                if client:
                    self.other.sendto(listed, client)
                self.act(words[1:], packet, end, how, send, client)
            case _:
                send(self.reply(words, packet, end, how))

    def reply(self, words, packet, end, how):
        ttl, rcode, records, alias, soa, cut = 60, 0, [], b"", b"", False
        pointer = b"\xc0\x0c"
        words = iter(words)
        for word in words:
            match word:
                case "ttl":
                    ttl = int(next(words))
                case "rcode":
                    rcode = int(next(words))
                case "tc":
                    if not how:
                        cut = True
                        break
                case "nxdomain" | "empty" | "bare":
                    rcode = 3 if word != "empty" else 0
                    if word != "bare":
                        soa = BASE + struct.pack(">HHIH", 6, 1, 150, len(SOA)) + SOA
                case "aaaa":
                    records.append(struct.pack(">HHIH", 28, 1, ttl, 16) + b"\x20\x01\x0d\xb8" + bytes(11) + b"\2")
                case "alias":
                    target = b"\5alias\7example\0"
                    alias = pointer + struct.pack(">HHIH", 5, 1, ttl, len(target)) + target
                case "many":
                    records += [struct.pack(">HHIH", 1, 1, ttl, 4) + bytes([127, 0, 9, n + 2]) for n in range(200)]
                case _:
                    octets = socket.inet_aton(word)
                    records.append(struct.pack(">HHIH", 1, 1, ttl, 4) + octets)
        owner = b"\5alias\7example\0" if alias else pointer
        answers = alias + b"".join(owner + record for record in records)
        if not how and len(answers) > 1000:
            cut, answers, records, alias = True, b"", [], b""
        flags = 0x8180 | (0x0200 if cut else 0) | rcode
        counts = (1, len(records) + (1 if alias else 0), 1 if soa else 0, 0)
        return packet[:2] + struct.pack(">HHHHH", flags, *counts) + packet[12:end] + answers + soa
