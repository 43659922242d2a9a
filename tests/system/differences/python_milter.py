#!/usr/bin/env python3
"""What the Python milter `spamhaus-dqs-milter` does, defects included, written from a description of it.

It has no code of that program. It logs nothing and has no defects that only a log shows: what is
compared is verdicts, replies and questions. benches/peers/python_milter.py is a smaller one, for speed.
"""

import ipaddress
import os
import re
import sys
import threading
import time
from collections import OrderedDict

import dns.exception
import dns.resolver
import Milter

PREFIX = "SPAMHAUS_DQS_"
DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
REFUSED_CLIENT = "Connecting IP address is rejected due to a security policy violation."
REFUSED_NAME = {
    ("helo", "dbl"): "HELO domain is rejected due to a security policy violation.",
    ("mail", "dbl"): "Sender domain is rejected due to a security policy violation.",
    ("helo", "zrd"): "Policy rejection: HELO domain has no established reputation.",
    ("mail", "zrd"): "Policy rejection: sender domain has no established reputation.",
}


def read_file(path):
    """`KEY=value` lines; one layer of each kind of quotes goes from both ends, a missing file is none."""
    found = {}
    try:
        lines = open(path, encoding="utf-8").read().splitlines()
    except OSError:
        return found
    for line in map(str.strip, lines):
        if line and not line.startswith("#") and "=" in line:
            name, value = line.split("=", 1)
            value = value.strip()
            for quote in "'\"":
                if len(value) > 1 and value[0] == value[-1] == quote:
                    value = value[1:-1]
            found[name.strip()] = value
    return found


class Settings:
    """The settings, each as far as it can be read; nothing that is wrong is told."""

    def __init__(self, environment):
        self.texts = read_file(environment.get(PREFIX + "ENV_FILE", "/etc/spamhaus-dqs-milter.env"))
        self.texts.update(environment)
        self.key = self.text("API_KEY", "").strip()
        self.listen = self.text("LISTEN", "inet:11332@localhost")
        self.name_servers = self.words("NAMESERVERS") or ["127.0.0.1", "::1"]
        self.idle = self.number("MILTER_TIMEOUT", 2, int)
        lifetime = self.number("DNS_LIFETIME", 1.8, float)
        self.lifetime = max(0.10, min(lifetime, max(0.5, self.idle - 0.1)))
        per_try = self.number("DNS_PER_TRY", 0.7, float)
        self.per_try = max(0.05, min(per_try, max(0.2, self.lifetime - 0.1)))
        self.cache_max = self.number("CACHE_MAX", 20000, int)
        self.ttl_listed = self.number("CACHE_TTL_LISTED", 600, int)
        self.ttl_unlisted = self.number("CACHE_TTL_UNLISTED", 300, int)
        self.zen = self.text("ZEN_ENABLE", "1").strip().lower() not in ("0", "false", "no")
        codes = self.words("ZEN_REJECT_CODES") or ["2", "3", "4", "9", "10", "11"]
        self.zen_codes = {int(code) for code in codes if code.isdecimal()}
        self.addresses = set()
        for word in self.words("IP_WHITELIST"):
            try:
                self.addresses.add(ipaddress.ip_address(word))
            except ValueError:
                pass
        self.domains = {word.lower().rstrip(".") for word in self.words("DOMAIN_WHITELIST")}
        self.suffixes = [word.lower().rstrip(".") for word in self.words("DOMAIN_SUFFIX_WHITELIST")]
        self.skip_all = self.text("WHITELIST_SKIP_ALL", "0") in ("1", "true", "True", "yes", "Yes")

    def text(self, name, default):
        return self.texts.get(PREFIX + name, default)

    def words(self, name):
        return [word.strip() for word in self.text(name, "").split(",") if word.strip()]

    def number(self, name, default, kind):
        try:
            return kind(self.text(name, default))
        except ValueError:
            return default

    def spares(self, domain):
        below = any(domain == suffix or domain.endswith("." + suffix) for suffix in self.suffixes)
        return domain in self.domains or below


class Cache:
    """The last answers; which one goes first is decided by when it was used last."""

    def __init__(self, size):
        self.size, self.lock, self.entries = size, threading.Lock(), OrderedDict()

    def find(self, subject):
        with self.lock:
            until, codes = self.entries.get(subject, (0, None))
            if codes is None or until <= time.monotonic():
                self.entries.pop(subject, None)
                return None
            self.entries.move_to_end(subject)
            return codes

    def keep(self, subject, codes, ttl):
        with self.lock:
            self.entries[subject] = (time.monotonic() + ttl, codes)
            while len(self.entries) > self.size:
                self.entries.popitem(last=False)


class Lists:
    """The three zones and what they have said."""

    def __init__(self, settings):
        self.settings = settings
        self.addresses, self.domains = Cache(settings.cache_max), Cache(settings.cache_max)
        self.resolver = dns.resolver.Resolver(configure=False)
        self.resolver.nameservers = settings.name_servers
        self.resolver.lifetime, self.resolver.timeout = settings.lifetime, settings.per_try
        self.resolver.search = []

    def ask(self, subject, zone):
        name = f"{subject}.{self.settings.key}.{zone}.dq.spamhaus.net."
        begun = time.monotonic()
        try:
            try:
                answer = self.resolver.resolve(name, "A", search=False)
            except dns.exception.Timeout:
                rest = max(0.2, self.settings.lifetime - (time.monotonic() - begun))
                answer = self.resolver.resolve(name, "A", search=False, tcp=True, lifetime=rest)
        except Exception:  # pylint: disable=broad-except
            # Whatever went wrong, and "there is no such name" as well: nothing is listed.
            return []
        return [record.address for record in answer]

    def ttl(self, listed):
        return self.settings.ttl_listed if listed else self.settings.ttl_unlisted

    def address_is_listed(self, address):
        codes = self.addresses.find(address)
        if codes is None:
            if address.version == 4:
                subject = ".".join(reversed(str(address).split(".")))
            else:
                subject = ".".join(reversed(address.exploded.replace(":", "")))
            codes = self.ask(subject, "zen")
            self.addresses.keep(address, codes, self.ttl(codes))
        return any(is_in(code, "127.0.0.", self.settings.zen_codes) for code in codes)

    def domain_is_listed(self, domain):
        """The zone that lists a domain, if one does."""
        known = self.domains.find(domain)
        if known is None:
            dbl = self.ask(domain, "dbl")
            known = (dbl, [] if in_dbl(dbl) else self.ask(domain, "zrd"))
            self.domains.keep(domain, known, self.ttl(any(known)))
        dbl, zrd = known
        if in_dbl(dbl):
            return "dbl"
        return "zrd" if any(is_in(code, "127.0.2.", range(2, 25)) for code in zrd) else None


def is_in(code, prefix, last):
    return code.startswith(prefix) and int(code.removeprefix(prefix)) in last


def in_dbl(codes):
    return any(is_in(code, "127.0.1.", range(2, 100)) for code in codes)


class Filter(Milter.Base):
    """One SMTP session."""

    lists = None

    def __init__(self):
        self.skip = False

    def connect(self, hostname, family, hostaddr):
        settings = self.lists.settings
        try:
            address = ipaddress.ip_address(hostaddr[0] if isinstance(hostaddr, tuple) else hostaddr)
        except ValueError:
            return Milter.CONTINUE
        if address in settings.addresses:
            self.skip = settings.skip_all
        elif settings.zen and address.is_global and self.lists.address_is_listed(address):
            self.setreply("554", "5.7.1", REFUSED_CLIENT)
            return Milter.REJECT
        return Milter.CONTINUE

    def hello(self, name):
        domain = name.lower().strip().rstrip(".")
        is_literal = domain.startswith("[") and domain.endswith("]")
        return Milter.CONTINUE if is_literal else self.judge("helo", domain)

    def envfrom(self, sender, *_):
        mailbox = sender.strip(" <>")
        return self.judge("mail", mailbox.split("@", 1)[-1].lower().rstrip("."))

    def judge(self, stage, domain):
        if self.skip or self.lists.settings.spares(domain) or not DOMAIN.fullmatch(domain):
            return Milter.CONTINUE
        zone = self.lists.domain_is_listed(domain)
        if zone is None:
            return Milter.CONTINUE
        self.setreply("550", "5.7.1", REFUSED_NAME[stage, zone])
        return Milter.REJECT

    def eom(self):
        return Milter.ACCEPT


def main():
    settings = Settings(os.environ)
    if not settings.key:
        print("no key", file=sys.stderr)
        sys.exit(2)
    Filter.lists = Lists(settings)
    Milter.factory = Filter
    Milter.runmilter("spamhaus-dqs", settings.listen, settings.idle)


if __name__ == "__main__":
    main()
