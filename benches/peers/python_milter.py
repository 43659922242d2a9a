"""A filter on python3-milter and dnspython that asks what gatepost asks.

It stands for the usual way to do this job in Python: ZEN at CONNECT, DBL and then ZRD at HELO and at
MAIL, one question after the other, answers kept in an LRU cache with fixed lifetimes, a failed look-up
kept as "not listed". It leaves out logging, white lists and reading an environment file: they would only
cost it time.

Usage: python_milter.py SOCKET DNS_PORT KEY
"""

import ipaddress
import re
import sys
import threading
import time
from collections import OrderedDict

import dns.exception
import dns.resolver
import Milter
import milter

LIFETIME, PER_TRY = 1.8, 0.7
TTL_LISTED, TTL_UNLISTED, CACHE_MAX = 600, 300, 20000
DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")
ZEN_CODES = {2, 3, 4, 9, 10, 11}


class Cache:
    """The last CACHE_MAX answers, least recently used ones go first."""

    def __init__(self):
        self.lock = threading.Lock()
        self.entries = OrderedDict()

    def find(self, subject):
        now = time.monotonic()
        with self.lock:
            entry = self.entries.get(subject)
            if entry is None:
                return None
            if entry[0] <= now:
                del self.entries[subject]
                return None
            self.entries.move_to_end(subject)
            return entry[1]

    def keep(self, subject, codes, listed):
        until = time.monotonic() + (TTL_LISTED if listed else TTL_UNLISTED)
        with self.lock:
            self.entries[subject] = (until, codes)
            self.entries.move_to_end(subject)
            while len(self.entries) > CACHE_MAX:
                self.entries.popitem(last=False)


class Lists:
    """The three zones behind one resolver, and what they said."""

    def __init__(self, port, key):
        self.key = key
        self.addresses, self.domains = Cache(), Cache()
        self.resolver = dns.resolver.Resolver(configure=False)
        self.resolver.nameservers = ["127.0.0.1"]
        self.resolver.port = port
        self.resolver.lifetime, self.resolver.timeout = LIFETIME, PER_TRY
        self.resolver.search = []

    def ask(self, subject, zone):
        name = f"{subject}.{self.key}.{zone}.dq.spamhaus.net."
        begun = time.monotonic()
        try:
            try:
                answer = self.resolver.resolve(name, "A", search=False)
            except dns.exception.Timeout:
                rest = max(0.2, LIFETIME - (time.monotonic() - begun))
                answer = self.resolver.resolve(name, "A", search=False, tcp=True, lifetime=rest)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except Exception:  # pylint: disable=broad-except
            return ()
        return tuple(record.address for record in answer)

    def address_is_listed(self, address):
        if not address.is_global:
            return False
        codes = self.addresses.find(address)
        if codes is None:
            codes = self.ask(".".join(reversed(str(address).split("."))), "zen")
            self.addresses.keep(address, codes, bool(codes))
        return any(code.startswith("127.0.0.") and last(code) in ZEN_CODES for code in codes)

    def domain_is_listed(self, domain):
        if not DOMAIN.match(domain):
            return False
        known = self.domains.find(domain)
        if known is None:
            dbl = self.ask(domain, "dbl")
            zrd = () if dbl_rejects(dbl) else self.ask(domain, "zrd")
            known = (dbl, zrd)
            self.domains.keep(domain, known, bool(dbl or zrd))
        dbl, zrd = known
        return dbl_rejects(dbl) or any(c.startswith("127.0.2.") and 2 <= last(c) <= 24 for c in zrd)


def last(code):
    return int(code.rsplit(".", 1)[1])


def dbl_rejects(codes):
    return any(code.startswith("127.0.1.") and 2 <= last(code) <= 99 for code in codes)


class Filter(Milter.Base):
    """One SMTP session."""

    lists = None

    def connect(self, hostname, family, hostaddr):
        if not hostaddr or not isinstance(hostaddr, tuple):
            return Milter.CONTINUE
        try:
            address = ipaddress.ip_address(hostaddr[0])
        except ValueError:
            return Milter.CONTINUE
        if self.lists.address_is_listed(address):
            self.setreply("554", "5.7.1", "Connecting IP address is rejected due to a policy violation.")
            return Milter.REJECT
        return Milter.CONTINUE

    def hello(self, name):
        domain = name.lower().strip().rstrip(".")
        if domain.startswith("[") and domain.endswith("]"):
            return Milter.CONTINUE
        return self.judge(domain, "HELO name")

    def envfrom(self, sender, *_parameters):
        mailbox = sender.strip().strip("<>")
        if not mailbox:
            return Milter.CONTINUE
        domain = mailbox.split("@", 1)[-1].lower().rstrip(".")
        return self.judge(domain, "Sender domain")

    def judge(self, domain, what):
        if self.lists.domain_is_listed(domain):
            self.setreply("550", "5.7.1", f"{what} is rejected due to a policy violation.")
            return Milter.REJECT
        return Milter.CONTINUE

    def eom(self):
        return Milter.ACCEPT


def main():
    socket, port, key = sys.argv[1:]
    Filter.lists = Lists(int(port), key)
    Milter.factory = Filter
    # The library's own backlog of 20 would measure the kernel's SYN timer under a burst.
    milter.setbacklog(1024)
    Milter.runmilter("bench", socket, 7210)


main()
