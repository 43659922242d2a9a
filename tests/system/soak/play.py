#!/usr/bin/env python3
"""Mixed traffic for so many minutes, with everything that happens to a daemon in a year; every answer is judged."""

import argparse
import asyncio
import datetime
import os
import random
import resource
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[1:1] = [HERE, os.path.join(HERE, "..", "reliability"), os.path.join(HERE, "..", "libmilter")]

# pylint: disable=wrong-import-position
from conduct import Conduct
from history import History
from hostile import Hostile
from judge import Samples, at_rest, fields
from keeper import Keeper, Log
from load import Load
from names import Sky
from nameserver import Names
from verdict import judge, page_is_of, summary, write_page

# Seconds between two samples.
PERIOD = 5
# Connections that an MTA keeps for minutes.
KEPT = 60


def parse():
    parser = argparse.ArgumentParser()
    for name in ("suite", "key", "key2", "program", "directory", "log", "page"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--rate", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def between(least, value, most):
    return max(least, min(most, value))


def restarts(seconds):
    """In the first two fifths one after the other, then a process that lives long, and two more at the end."""
    step = between(10, seconds / 10, 180)
    early = [step * n for n in range(1, int(0.4 * seconds / step) + 1)]
    return [*early, 0.92 * seconds, 0.96 * seconds]


async def sampling(samples, keeper, conduct, load):
    while not conduct.ending:
        for _ in range(PERIOD):
            await asyncio.sleep(1)
            await conduct.look()
        # At once, so that what the daemon says and what the kernel says are of nearly the same moment.
        samples.take(keeper, conduct, load)


async def soak(arguments):
    clock, seconds = time.monotonic, arguments.minutes * 60
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "big")
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M")
    version = subprocess.run([arguments.program, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    print(f"seed {seed}, {version}", flush=True)
    chance = random.Random(seed)
    names = Names("127.1.1.1", kind=Sky)
    log = Log(os.path.join(arguments.log, "gatepost.log"), (arguments.key, arguments.key2))
    settings = {
        "SPAMHAUS_DQS_ENV_FILE": os.path.join(arguments.directory, "env"), "SPAMHAUS_DQS_NAMESERVERS": names.address,
        "SPAMHAUS_DQS_PROBE_INTERVAL": "60", "SPAMHAUS_DQS_LOG_SUMMARY": "60",
    }
    keeper, history = Keeper(arguments.program, arguments.directory, log, settings), History(clock)
    conduct = Conduct(keeper, history, names, chance, (arguments.key, arguments.key2))
    conduct.prepare()
    await keeper.start()
    await conduct.look()
    before = fields(keeper, conduct)
    load = Load(keeper, history, seed + 1, arguments.rate)
    samples, begun = Samples(os.path.join(arguments.log, "samples.tsv")), clock()
    acts = [asyncio.ensure_future(act) for act in (
        load.run(KEPT), Hostile(load).run(arguments.rate / 5), sampling(samples, keeper, conduct, load),
        conduct.reloads(*(between(2, part * seconds / 60, part * 20) for part in (1, 3))), conduct.restarts(restarts(seconds)),
        conduct.files(between(2, seconds / 40, 25)), conduct.weather(between(8, seconds / 12, 70), between(4, seconds / 30, 20)),
    )]
    told = begun
    while clock() - begun < seconds:
        done, _ = await asyncio.wait(acts, timeout=1, return_when=asyncio.FIRST_COMPLETED)
        for act in done:
            act.result()
            acts.remove(act)
        if clock() - told > 60:
            told = clock()
            print(f"measured: {(told - begun) / 60:.0f} minutes: {load.counts['sessions']} sessions, {load.counts['answers']} answers, "
                  f"{load.counts['errors']} wrong, {load.counts['lost']} lost, {load.counts['deferred']} deferred, {load.open} open, "
                  f"{conduct.counts}, {len(conduct.wrong) + len(conduct.odd) + len(log.wrong)} others wrong; {list(samples.rows[-1].values()) if samples.rows else ''}", flush=True)
    # The end: nothing new, and whoever is there finishes.
    load.ending = conduct.ending = True
    await asyncio.wait(acts, timeout=420)
    for task in acts:
        task.cancel()
    end = clock() + 150
    while load.tasks and clock() < end:
        await asyncio.wait(list(load.tasks), timeout=end - clock())
    unfinished = len(load.tasks)
    # Sockets to the name server are kept for half a minute, and wrong answers are judged once more after some seconds.
    end = clock() + 60
    while clock() < end:
        await asyncio.sleep(1)
        await conduct.look()
        after = fields(keeper, conduct)
        if conduct.status["sessions"]["open"] == 0 and all(at_rest(before, after)) and end - clock() < 45:
            break
    facts = {
        "seconds": clock() - begun, "before": before, "after": after, "open": conduct.status["sessions"]["open"], "unfinished": unfinished,
        "panics": conduct.status["sessions"]["panics"], "status": await keeper.stop(), "minutes": arguments.minutes, "rate": arguments.rate,
        "seed": seed, "date": date, "version": version,
    }
    names.close()
    with open(os.path.join(arguments.log, "wrong.txt"), "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in load.wrong + conduct.wrong + conduct.odd + log.wrong[:500]))
    good = True
    for right, words in judge(load, conduct, keeper, samples, facts):
        print(f"{'ok' if right else 'FAIL'} {arguments.suite}: {words}", flush=True)
        good = good and right
    for line in (load.wrong + conduct.wrong + conduct.odd + log.wrong)[:12]:
        print(f"     {line}")
    text = summary(load, conduct, keeper, samples, facts)
    if arguments.write and good:
        write_page(arguments.page, text)
    same = page_is_of(arguments.page, text)
    print(f"{'ok' if same else 'FAIL'} {arguments.suite}: docs/reliability.md has the rows of a soak", flush=True)
    with open(os.path.join(arguments.log, "summary.md"), "w", encoding="utf-8") as file:
        file.write(text)
    print(text)
    return good and same


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
    sys.exit(0 if asyncio.run(soak(parse())) else 1)
