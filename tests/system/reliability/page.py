"""docs/reliability.md, from the rows and from what was measured."""

import datetime
import os
import platform
import re

HEAD = """# Faults

What breaks around gatepost or in it, how the tests break it, what must come of it, and what came of it in the run that wrote this
page. `tests/run reliability` plays every row to the release build, as a process of its own, with name servers and mail servers that do
what the row says; it fails when something comes out otherwise than expected, and when this page has other rows than were played, is of another version, or
tells of other things that were measured.
`write=1 tests/run reliability` writes the page anew, with the figures of that run.

{run}

The last column names what else holds the row: functions of `cargo test` (each layer by itself, with held clocks, in all forms), and
cases of suites with real mail servers and a real service manager. `tests/manual.rs` looks whether each of them exists.
The first one is the fault's name and no count: numbers that are missing never had a row here.

<!-- faults: written by tests/run reliability, held against the tests by tests/manual.rs -->

| | fault | how it is made | expected | measured | also tested by |
|---|---|---|---|---|---|
"""
FOOT = """
<!-- end of faults -->

## Notes

What is played on another scale than it comes, or in another way, and why:

{notes}

## Not played here

- Pauses of the machine, a stuck runtime and a crash under a real service manager, a stuck or full journal, killed processes and forged
  states: `tests/run faults`, in a booted container. Restarts and upgrades under load: `tests/run load`.
- Loss and delay by the kernel's traffic control: the name server of the suite loses and delays by itself, which is the same to whoever asks it.
"""


# A number with its unit, as far as that changes with the size.
FIGURE = re.compile(r"(?<![\w^])-?\d[\d,.]*(?: (?:ms|s|KiB|MiB)\b)?")


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = re.findall(r"model name\s*: (.*)", file.read()) or [platform.machine()]
    return f"{len(os.sched_getaffinity(0))} processors ({' '.join(models[0].split())}), Linux {platform.release().split('-')[0]}"


def run(version):
    """When, what and where: the figures are of this run, and not compared."""
    now = datetime.datetime.now(datetime.UTC)
    return f"Measured {now:%Y-%m-%d %H:%M} UTC with {version}, on {machine()}; load before the run {os.getloadavg()[0]:.2f}."


def clean(text):
    return " ".join(text.replace("|", "\\|").split())


def page(rows, measured, before, ran):
    """The page anew; what the soak wrote, at its end, stays."""
    lines = []
    for row in rows:
        also = " ".join(f"`{name}`" for name in row.also) or "–"
        cells = [row.number, row.fault, row.injection, row.expected, measured.get(row.number, ""), also]
        lines.append("| " + " | ".join(clean(cell) for cell in cells) + " |")
    _, soak, kept = before.partition("\n## Soak\n")
    notes = "\n".join(f"- {row.number}: {row.note}" for row in rows if row.note)
    return HEAD.format(run=ran) + "\n".join(lines) + "\n" + FOOT.format(notes=notes) + soak + kept


def rows_of(text):
    """What must be the same in each run: the rows, of what was measured the words, of the run the version; and all that is around them."""
    cells = [re.split(r"(?<!\\)\|", line) for line in text.splitlines() if line.startswith("| F")]
    around = [re.sub(r"^Measured .* UTC with (.*), on .*", r"\1", line) for line in text.splitlines() if not line.startswith("| F")]
    return [row[:5] + [FIGURE.sub("#", row[5])] + row[6:] for row in cells], around
