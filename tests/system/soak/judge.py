"""Samples of the daemon, lines through them, and what is said of them."""

import math
import os
import socket
import statistics
import struct
import time

# The least that the C library's allocator gives, header included: a session that loses anything loses this much.
PIECE = 32
# Descriptors that come and go: connections to the control socket, files that are read, sockets of no peer yet or any more.
LOOSE = 20
# Sockets to the name server that wait for the next question, at most: nine have been seen for a while after an outage.
SPARE = 16
# Tasks that come and go: probes, the readers of these sockets, who asks for the status.
PASSING = 4
# Seconds between two samples that are compared.
APART = 60
COLUMNS = (
    "seconds generation rss_kib hwm_kib descriptors asking beside threads tasks cpu_seconds open served under_way cache evictions "
    "driver_open log_lines log_octets other_lines"
).split()


def fields(keeper, conduct):
    """What the kernel says of the daemon, and how many tasks it says it has."""
    pid = keeper.pid
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file if ":" in line)
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        stat = file.read().rsplit(")", 1)[1].split()
    number = {name: int(status[name].split()[0]) for name in ("VmRSS", "VmHWM", "Threads")}
    cpu = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return number | descriptors(keeper, conduct.names) | {"cpu": cpu, "tasks": conduct.status["tasks"]}


def descriptors(keeper, names):
    """The daemon's descriptors, as the kernel has them: all, those to the name server, and those that are neither that nor a
    session's. A question is listened to after who asked it has given up, so the daemon's own figures tell less."""
    links = []
    for descriptor in os.listdir(f"/proc/{keeper.pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{keeper.pid}/fd/{descriptor}"))
        except FileNotFoundError:
            pass
    kinds = {}
    for name in ("tcp", "udp"):
        for _, local, remote, state, *more in table(keeper.pid, name):
            if address(remote) == (names.address, 53):
                kinds[more[5]] = "asking"
            elif address(local) == ("127.0.0.1", keeper.port) and state != LISTENS:
                kinds[more[5]] = "session"
    for words in table(keeper.pid, "unix"):
        if words[7:] == [keeper.unix] and words[3] != ACCEPTS:
            kinds[words[6]] = "session"
    of = [kinds.get(link.removeprefix("socket:[").rstrip("]")) for link in links]
    return {"descriptors": len(of), "asking": of.count("asking"), "beside": of.count(None)}


# The states and flags of sockets that listen, as /proc/net has them.
LISTENS, ACCEPTS = "0A", "00010000"


def table(pid, name):
    with open(f"/proc/{pid}/net/{name}", encoding="utf-8") as file:
        return [line.split() for line in file.readlines()[1:]]


def address(text):
    """An IPv4 address and a port, of the kernel's hexadecimal digits."""
    host, port = text.split(":")
    return socket.inet_ntoa(struct.pack("=I", int(host, 16))), int(port, 16)


class Samples:
    def __init__(self, path):
        self.file, self.rows = open(path, "w", encoding="ascii", buffering=1), []
        self.file.write("\t".join(COLUMNS) + "\n")
        self.begun = time.monotonic()

    def take(self, keeper, conduct, load):
        """A row, if the daemon has said something of itself since it started."""
        status = conduct.status
        if status.get("pid") != keeper.pid:
            return
        try:
            process = fields(keeper, conduct)
        except (OSError, KeyError):
            return
        row = dict(zip(COLUMNS, (
            round(time.monotonic() - self.begun, 1), conduct.counts.get("restarts", 0), process["VmRSS"], process["VmHWM"], process["descriptors"],
            process["asking"], process["beside"], process["Threads"], process["tasks"], process["cpu"],
            status["sessions"]["open"], status["sessions"]["served"], status["cache"]["under_way"], status["cache"]["entries"], status["cache"]["evictions"],
            load.open, sum(keeper.log.lines.values()), keeper.log.octets, keeper.log.others(),
        )))
        self.rows.append(row)
        self.file.write("\t".join(str(value) for value in row.values()) + "\n")

    def longest(self):
        """The samples of the process that lived longest, from the second half of its life."""
        by_process = {}
        for row in self.rows:
            by_process.setdefault(row["generation"], []).append(row)
        rows = max(by_process.values(), key=lambda rows: rows[-1]["seconds"] - rows[0]["seconds"])
        return rows[len(rows) // 2:], rows

    def per_minute(self, column):
        """The most within one minute."""
        most, first = 0, 0
        for last, row in enumerate(self.rows):
            while row["seconds"] - self.rows[first]["seconds"] > 60:
                first += 1
            most = max(most, row[column] - self.rows[first][column])
        return most


def slope(rows, value):
    """By how much a value grows in an hour: the median of what it grows by from any sample to the one a minute later, time
    enough for sessions of all kinds, a reload and new files. Some steps, such as the memory for an outage with more questions
    at once than any before, do not tilt it."""
    slopes, first = [], 0
    for row in rows:
        while first + 1 < len(rows) and row["seconds"] - rows[first + 1]["seconds"] >= APART:
            first += 1
        apart = row["seconds"] - rows[first]["seconds"]
        if apart >= APART:
            slopes.append((value(row) - value(rows[first])) * 3600 / apart)
    return statistics.median(slopes) if slopes else 0.0


def at_rest(before, after):
    """Whether no descriptor is left and no task, of the daemon as it was before all and as it is now."""
    return (after["descriptors"] - after["asking"] <= before["descriptors"] - before["asking"] and after["asking"] <= SPARE,
            after["tasks"] <= before["tasks"] + PASSING)


def nine_of_ten(rows, column):
    """The most, if one sample of ten is left out: one that was taken while a flood came or went."""
    values = sorted(row[column] for row in rows)
    return values[math.ceil(len(values) * 0.9) - 1]


def drift(rows, column):
    """Descriptors or tasks beside those of sessions: from what is usual in the first third to what is usual in the last, while
    nothing is asked, since questions share sockets. Without end if there is always something that is asked."""
    beside = [row[column] - row["open"] for row in rows if not row["under_way"] and row["asking"] <= SPARE]
    part = len(beside) // 3
    return statistics.median(beside[-part:]) - statistics.median(beside[:part]) if part else math.inf
