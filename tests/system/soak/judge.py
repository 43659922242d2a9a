"""Samples of the daemon, lines through them, and what is said of them."""

import os
import statistics
import time

# The least that the C library's allocator gives, header included: a session that loses anything loses this much.
PIECE = 32
# Descriptors that come and go: questions under way over TCP, a connection that is just taken.
LOOSE = 40
# Seconds between two samples that are compared.
APART = 60
COLUMNS = (
    "seconds generation rss_kib hwm_kib descriptors threads tasks cpu_seconds open served under_way cache evictions driver_open "
    "log_lines log_octets other_lines"
).split()


def fields(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file if ":" in line)
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        stat = file.read().rsplit(")", 1)[1].split()
    number = {name: int(status[name].split()[0]) for name in ("VmRSS", "VmHWM", "Threads")}
    return number | {"fd": len(os.listdir(f"/proc/{pid}/fd")), "cpu": (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")}


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
            process = fields(keeper.pid)
        except (OSError, KeyError):
            return
        row = dict(zip(COLUMNS, (
            round(time.monotonic() - self.begun, 1), conduct.counts.get("restarts", 0), process["VmRSS"], process["VmHWM"], process["fd"],
            process["Threads"], status["tasks"], process["cpu"], status["sessions"]["open"], status["sessions"]["served"], status["cache"]["under_way"],
            status["cache"]["entries"], status["cache"]["evictions"], load.open, sum(keeper.log.lines.values()), keeper.log.octets, keeper.log.others(),
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


def drift(rows, column):
    """Descriptors or tasks beside those of sessions: from what is usual in the first third to what is usual in the last, while
    nothing is asked, since questions share sockets."""
    beside = [row[column] - row["open"] for row in rows if not row["under_way"]]
    part = len(beside) // 3
    return statistics.median(beside[-part:]) - statistics.median(beside[:part]) if part else 0.0
