"""One name server for both programs: what it says is told name by name, and it knows who asked what.

Each program asks an address of its own, 127.0.0.1 or 127.0.0.2, on port 53 of the suite's private world,
UDP and TCP. It runs in threads of the player, so that the questions of a stage can be counted after it.
"""

import ipaddress
import socket
import struct
import threading
import time

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

BASE = "dq.spamhaus.net"
PORT = 53
ALIAS = "alias.list.example"
# How long "no such name" holds, as DQS says it.
SOA = "ns.invalid. hostmaster.invalid. 1 600 600 3600 150"
RCODES = {"servfail": dns.rcode.SERVFAIL, "refused": dns.rcode.REFUSED, "formerr": dns.rcode.FORMERR, "notimp": dns.rcode.NOTIMP}


def reversed_address(address):
    ip = ipaddress.ip_address(address)
    return ip.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


class NameServer:
    """Answers on one or more addresses by one script."""

    def __init__(self, key, addresses):
        self.key, self.script, self.asked = key, {}, {address: [] for address in addresses}
        self.lock, self.marks = threading.Lock(), {}
        for address in addresses:
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind((address, PORT))
            tcp = socket.socket()
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((address, PORT))
            tcp.listen(64)
            threading.Thread(target=self.serve_udp, args=(udp, address), daemon=True).start()
            threading.Thread(target=self.serve_tcp, args=(tcp, address), daemon=True).start()

    def play(self, script):
        """The script of a session: {zone: {subject: words}}. A domain speaks for all below it."""
        with self.lock:
            self.script = script

    def take(self, address):
        """What was asked at an address since the last time."""
        mark = threading.Event()
        token = struct.pack(">Q", id(mark))
        self.marks[token] = mark
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            # Behind every question that has come in so far.
            own.sendto(token, (address, PORT))
        if not mark.wait(10):
            raise SystemExit("the name server is stuck")
        with self.lock:
            asked, self.asked[address] = self.asked[address], []
        return asked

    def serve_udp(self, udp, address):
        while True:
            packet, client = udp.recvfrom(4096)
            if packet in self.marks:
                self.marks.pop(packet).set()
                continue
            words = self.hear(packet, address, "")
            if words and words[0] == "delay":
                late = threading.Timer(int(words[1]) / 1000, self.send, (udp, client, packet, words[2:]))
                late.daemon = True
                late.start()
            elif words and words[0] != "lost":
                self.send(udp, client, packet, words)

    def send(self, udp, client, packet, words):
        reply = self.reply(packet, words)
        if reply:
            udp.sendto(reply, client)

    def serve_tcp(self, tcp, address):
        while True:
            stream, _ = tcp.accept()
            threading.Thread(target=self.serve_stream, args=(stream, address), daemon=True).start()

    def serve_stream(self, stream, address):
        with stream:
            while len(size := stream.recv(2, socket.MSG_WAITALL)) == 2:
                packet = stream.recv(struct.unpack(">H", size)[0], socket.MSG_WAITALL)
                words = self.hear(packet, address, " by TCP")
                words = words[{"tc": 1, "lost": 1, "delay": 2}.get(words[0], 0) :]
                reply = self.reply(packet, words)
                if reply is None:
                    # As a server that takes the connection and says nothing.
                    time.sleep(5)
                    return
                stream.sendall(struct.pack(">H", len(reply)) + reply)

    def hear(self, packet, address, how):
        """Notes a question, and finds what to say to it."""
        question = dns.message.from_wire(packet).question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = "" if question.rdtype == dns.rdatatype.A else " " + dns.rdatatype.to_text(question.rdtype)
        subject, zone, words = name.replace(self.key, "KEY"), "", ["nxdomain"]
        for of in ("zen", "dbl", "zrd", "authbl"):
            if name.endswith(f".{self.key}.{of}.{BASE}"):
                subject, zone = name.removesuffix(f".{self.key}.{of}.{BASE}"), of
        with self.lock:
            for known, said in self.script.get(zone, {}).items():
                if subject == known or (zone in ("dbl", "zrd") and subject.endswith("." + known)):
                    words = said.split()
            self.asked[address].append(f"{zone} {subject}".strip() + kind + how)
        return words

    def reply(self, packet, words):
        """The octets of an answer; nothing for silence."""
        query = dns.message.from_wire(packet)
        name = query.question[0].name
        reply = dns.message.make_response(query, recursion_available=True)
        kind, rest = words[0], words[1:]
        addresses = [word for word in words if word[0].isdigit()]
        if kind == "silence":
            return None
        if kind == "garbage":
            return packet[:2] + b"\x84\x80 this is no DNS message \xc0\xff\xc0"
        if kind in RCODES:
            reply.set_rcode(RCODES[kind])
        elif kind == "tc":
            reply.flags |= dns.flags.TC
            return reply.to_wire()
        elif kind == "alias":
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", ALIAS + "."))
            name = dns.name.from_text(ALIAS + ".")
            if "nxdomain" in rest:
                reply.set_rcode(dns.rcode.NXDOMAIN)
        elif kind == "aaaa":
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "AAAA", "2001:db8::2"))
        elif kind == "txt":
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", '"Listed"'))
        elif kind == "nxdomain":
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if addresses:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", *addresses))
        elif kind in ("nxdomain", "nodata"):
            reply.authority.append(dns.rrset.from_text(BASE + ".", 150, "IN", "SOA", SOA))
        if kind == "stranger":
            # The right number, another question.
            reply.question[0].name = dns.name.from_text("other.example.")
        octets = bytearray(reply.to_wire())
        if kind == "misnumbered":
            octets[0] ^= 0xFF
        return bytes(octets)
