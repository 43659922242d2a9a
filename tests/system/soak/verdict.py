"""The judgement of a run, and the words for it in docs/reliability.md."""

import re

from judge import LOOSE, PIECE, at_rest, drift, nine_of_ten, slope
from page import machine

# Lines a minute that may tell of one kind of event that peers or name servers cause, in one process.
BUDGET = 10
# What some acts of the run are told in, at most: three mistakes in a file, a start, a stop, a hand-over.
ACT = 12
# KiB: a quarter of the unit's MemoryMax=, as in the other suites.
MEMORY = 128 << 10
# Less than ten minutes tell of nothing but noise.
ENOUGH = 600
# KiB that the second half of a life may add in all: outages have more sessions and questions at once than any before. The
# driver opens 1,500 sessions at most, of some 5 KiB with what they wait for.
PEAKS = 8 << 10
# Descriptors and tasks: in the shortest span that is judged are a dozen reloads and two dozen new files.
DRIFT = 6
CAUSES = ("clean", "client", "helo", "sender", "young", "banned", "soak access sender", "soak access recipient")


def grown(samples):
    """What grew in the second half of the longest life of a process: KiB in an hour, descriptors and tasks, sessions served in
    an hour; how long that was in seconds, and what was added in all, in KiB."""
    rows, _ = samples.longest()
    span = rows[-1]["seconds"] - rows[0]["seconds"]
    served = (rows[-1]["served"] - rows[0]["served"]) * 3600 / span if span else 0
    more = {column: drift(rows, column) for column in ("descriptors", "tasks")}
    return slope(rows, lambda row: row["rss_kib"]), more, served, span, rows[-1]["rss_kib"] - rows[0]["rss_kib"]


def told(process):
    return f"{process['descriptors'] - process['asking']} and {process['asking']} to the name server"


def judge(load, conduct, keeper, samples, facts):
    """Pairs: whether it is right, and in which words."""
    counts, log, before, after = load.counts, keeper.log, facts["before"], facts["after"]
    restarts, minutes = conduct.counts.get("restarts", 0), facts["seconds"] / 60
    yield counts["errors"] == 0, f"no verdict is wrong: {counts['errors']} of {counts['answers']}"
    yield counts["exact"] > 0.6 * counts["answers"], f"for most answers there is only one right one: {counts['exact']} of {counts['answers']}"
    missing = [why for why in CAUSES if not load.reasons[why]]
    yield not missing, f"every reason was given: {', '.join(missing) or 'none'} missing"
    yield counts["lost"] == 0, f"no session is lost: {counts['lost']} of {counts['sessions'] + counts['kept']}"
    yield counts["deferred"] == 0, f"nothing is deferred: {counts['deferred']} of {counts['answers']}"
    yield not conduct.odd, f"no list is left alone in fair weather: {len(conduct.odd)} times"
    yield counts["sessions"] > 0.5 * facts["minutes"] * 60 * facts["rate"], f"the sessions were played: {counts['sessions']}"
    yield facts["unfinished"] == 0 and facts["open"] == 0, f"all sessions end: {facts['unfinished']} and {facts['open']} are left"
    yield restarts > 0 and conduct.handed > 0 and not conduct.wrong, \
        f"whatever is done to it is done: {len(conduct.wrong)} things went wrong; {conduct.handed} sessions handed over in {restarts} restarts"
    yield facts["status"] == 0 and facts["panics"] == 0, f"it ends with status 0 and without a panic: {facts['status']}, {facts['panics']}"
    yield keeper.silence < 30, f"signs of life come in time: the longest silence was {keeper.silence:.1f} s of 30"
    # Memory, descriptors, tasks, threads.
    peak = max(row["hwm_kib"] for row in samples.rows)
    yield peak < MEMORY, f"memory stays below {MEMORY >> 10} MiB: {peak >> 10} MiB"
    memory, more, served, span, step = grown(samples)
    if span >= ENOUGH:
        limit = served * PIECE / 2 / 1024
        yield memory < limit, f"memory is flat: {memory:+.0f} KiB an hour, limit {limit:.0f}"
        yield step < PEAKS, f"peaks add little memory: {step} KiB in all in {span / 60:.0f} min, limit {PEAKS}"
        for column, grew in more.items():
            yield grew < DRIFT, f"{column} are flat: {grew:+.0f} beside sessions in {span / 60:.0f} min, limit {DRIFT}"
    beside = nine_of_ten(samples.rows, "beside")
    yield beside <= before["beside"] + LOOSE, \
        f"descriptors are those of sessions and questions: {beside} others in nine of ten samples, {before['beside']} at the start"
    descriptors, tasks = at_rest(before, after)
    yield descriptors, f"no descriptor is left: {told(before)} at the start, {told(after)} at the end"
    # How many wait for one question is not known, so that tasks are judged when nothing is asked. A leak has left one for each
    # of a thousand times at the least.
    yield tasks, f"no task is left: {before['tasks']} at the start, {after['tasks']} at the end"
    threads = max(row["threads"] for row in samples.rows)
    yield threads <= before["Threads"] + 4, f"threads are few: {before['Threads']} at the start, {threads} at most"
    # The log.
    yield not log.wrong, f"the log is printable, short and without the key, and tells of no defect: {len(log.wrong)} lines are not so"
    yield log.refusals == load.refusals, f"every refusal has its line: {load.refusals} refusals, {log.refusals} lines"
    verdicts = sum(count for kind, count in log.lines.items() if kind.endswith(" verdict"))
    yield verdicts <= counts["answers"], f"no answer has two lines: {verdicts} lines of {counts['answers']} answers"
    acts = sum(count for what, count in conduct.counts.items())
    most, kind = max((count, kind) for kind, count in log.lines.items() if not kind.endswith(" verdict"))
    limit = BUDGET * (minutes + restarts + 1) + acts
    yield most <= limit, f"no kind of event is told more than {BUDGET} times a minute in a process: {kind} {most} times, limit {limit:.0f}"
    burst, limit = samples.per_minute("other_lines"), BUDGET * 6 + ACT * acts / minutes * 2 + ACT * 2
    yield burst <= limit, f"lines beside verdicts in the worst minute: {burst}, limit {limit:.0f}"


def thousands(number):
    return f"{number:,.0f}"


def acts(done):
    """What the run did, in words."""
    reloads = {kind: done.get(f"reloads, {kind}", 0) for kind in ("same", "changed", "broken")}
    return (
        f"{sum(reloads.values())} times SIGHUP ({reloads['changed']} with another configuration, {reloads['broken']} with a broken one), "
        f"{done.get('new lists and maps', 0)} new list files and access maps and {done.get('broken lists and maps', 0)} broken ones, "
        f"{done.get('restarts', 0)} restarts, {done.get('outages', 0)} outages"
    )


PEERS = {
    "cut": "sessions cut in any state", "garbage": "that send garbage", "length": "with absurd lengths", "unknown": "with unknown commands",
    "trickle": "of an octet a second", "unread": "that do not read", "flood": "floods of 300 connections", "recipients": "of 2,000 recipients with 1 MiB of macros",
}


def summary(load, conduct, keeper, samples, facts):
    counts, log, before, after = load.counts, keeper.log, facts["before"], facts["after"]
    memory, more, served, span, step = grown(samples)
    _, life = samples.longest()
    peers = ", ".join(f"{thousands(counts[f'hostile {kind}'])} {words}" for kind, words in PEERS.items())
    minutes = facts["seconds"] / 60
    others = log.others()
    reasons = ", ".join(f"{why.replace('soak access', 'access map:')} {thousands(load.reasons[why])}" for why in CAUSES[1:])
    rows = [
        ("sessions", f"{thousands(counts['sessions'])} in {facts['minutes']:g} min, and {thousands(counts['kept'])} connections kept for minutes; {thousands(counts['messages'])} whole messages"),
        ("answers that were judged", f"{thousands(counts['answers'])}; for {counts['exact'] / counts['answers']:.1%} there was only one right one, for the others "
         "(an outage, a change on its way, a wait over 1.5 s) two"),
        ("refused, by reason", reasons),
        ("wrong verdicts", counts["errors"]),
        ("lost sessions; deferred", f"{counts['lost']}; {counts['deferred']}"),
        ("what was done to it", acts(conduct.counts)),
        ("times that a list was left alone without an outage", len(conduct.odd)),
        ("handed over to a next process", f"{thousands(conduct.handed)} sessions, none lost"),
        ("hostile peers", peers),
        ("resident memory", f"at most {max(row['hwm_kib'] for row in samples.rows) / 1024:.1f} MiB" + (
            f"; {memory:+.0f} KiB an hour in the second half ({span / 60:.0f} min) of the longest life, {memory * 1024 / served:+.2f} octets a session, limit {PIECE // 2}; "
            f"{step} KiB in all" if span >= ENOUGH else "")),
        ("descriptors", f"{told(before)} before, {told(after)} after; at most {max(row['descriptors'] for row in samples.rows)}, with "
         f"{max(row['open'] for row in samples.rows)} sessions and {max(row['asking'] for row in samples.rows)} sockets to the name server at most" + (f"; {more['descriptors']:+.0f} beside those of sessions in the second half of the longest life" if span >= ENOUGH else "")),
        ("tasks", f"{before['tasks']} before, {after['tasks']} after; at most {max(row['tasks'] for row in samples.rows)}"
         + (f"; {more['tasks']:+.0f} beside those of sessions in the second half of the longest life" if span >= ENOUGH else "")),
        ("threads", f"{before['Threads']} before, {after['Threads']} after, at most {max(row['threads'] for row in samples.rows)}"),
        ("remembered answers", f"{thousands(max(row['cache'] for row in samples.rows))} of 20,000; {thousands(life[-1]['evictions'])} gave way in the longest life"),
        ("processor", f"{life[-1]['cpu_seconds'] * 1000 / (life[-1]['seconds'] - life[0]['seconds'] + 5):.1f} ms a second in the longest life"),
        ("log", f"{thousands(load.refusals)} refusals, each with its line; of all others {others / minutes:.1f} lines a minute, {samples.per_minute('other_lines')} in "
         f"the worst; {log.octets / minutes / 1024:.0f} KiB a minute in all, the longest line of {log.longest} octets"),
        ("longest time without a sign of life", f"{keeper.silence:.1f} s of 30 s"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"""In the run that wrote this, begun on {facts['date']} (UTC) with {facts['version']}, on {machine()}, {facts['rate']:g} sessions a second:

| | measured |
|---|---|
{table}
"""


MARKS = re.compile(r"(<!-- soak:[^\n]*-->\n)(.*?)(<!-- end of soak -->)", re.DOTALL)


def rows_of(text):
    """What the rows of a table are about."""
    return [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]


def page_is_of(path, text):
    """Whether the page has the rows of this summary; the figures are others in each run."""
    with open(path, encoding="utf-8") as file:
        found = MARKS.search(file.read())
    return bool(found) and rows_of(found[2]) == rows_of(text)


def write_page(path, text):
    """Puts the summary between its marks; all around it stays."""
    with open(path, encoding="utf-8") as file:
        page = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(MARKS.sub(lambda found: f"{found[1]}\n{text}\n{found[3]}", page))
