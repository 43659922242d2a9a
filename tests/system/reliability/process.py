"""Faults of the process and of its machine: F36, F41 and F47."""

import mmap
import os
import resource
import signal
import struct
import subprocess
import sys
import time

from clients import NEGOTIATION
from supervisor import Supervisor
from table import row
from world import CLEAN, LISTED, REVERSED, Daemon, Wire, connecting, expect, milliseconds, packet, session, strings, until, verdict


@row(
    "F36", "a pause of the process, and of the machine", "SIGSTOP for 60 s, and CLOCK_BOOTTIME set forward by an hour, as after a suspend, each with sessions open; the list forgets the client meanwhile",
    "sessions go on where they were, nothing is believed beyond its time, no line above info",
    "a_process_that_is_stopped_gives_no_sign_of_life_and_goes_on_where_it_was, what_one_process_remembers_the_next_one_knows_for_the_time_that_is_left, "
    "no_answer_outlives_its_time_over_a_sleep_of_the_machine, faults: no listing outlives its time over a pause, faults: stopped (SIGSTOP): mail comes in\\, and the watchdog ends it",
    waits=61,
    note="the test cannot suspend a machine: it gives the daemon the clock of one that was, in front of the C library. A virtual machine that is stopped from outside may "
    "have no clock that tells, and believes what it held for as long as it would have awake.",
)
def pause(stage):
    slept = asleep(stage)
    daemon, wires = paused(stage, "pause")
    yield
    daemon.signal(signal.SIGSTOP)
    for wire in wires:
        wire.send(packet("C", connecting(LISTED)))
    # The time that passes is what is tested: that of the listing.
    time.sleep(60)
    began = time.monotonic()
    daemon.signal(signal.SIGCONT)
    took = goes_on(daemon, wires, began)
    return f"20 sessions answered within {milliseconds(took)} of the end of the pause, none by the old listing; after the suspend within {milliseconds(slept)}, none either"


def paused(stage, name, environment=None):
    """A daemon with open sessions, and a listing that the list has no more."""
    daemon = Daemon(stage, name, notify=environment)
    daemon.serves()
    wires = [Wire(daemon) for _ in range(20)]
    for wire in wires:
        wire.greet()
    daemon.names.script({"*": "nxdomain"})
    expect(verdict(daemon, LISTED)[0] == "y", "the listing is remembered")
    return daemon, wires


def goes_on(daemon, wires, began):
    """Seconds until the last session was answered."""
    for wire in wires:
        expect(wire.answer()[0] == "c", "the listing is over")
    took = time.monotonic() - began
    for wire in wires:
        expect(wire.helo()[0] + wire.mail()[0] == "cc", "the session goes on")
        wire.close()
    daemon.stop()
    expect(not daemon.loud(), f"{daemon.loud()[:2]}")
    return took


def asleep(stage):
    path = os.path.join(stage.directory, "asleep.seconds")
    with open(path, "w+b") as file:
        file.write(bytes(8))
        file.flush()
        seconds = mmap.mmap(file.fileno(), 8)
    daemon, wires = paused(stage, "asleep", {"LD_PRELOAD": stage.asleep, "ASLEEP": path})
    seconds[:] = struct.pack("@q", 3600)
    began = time.monotonic()
    for wire in wires:
        wire.send(packet("C", connecting(LISTED)))
    return goes_on(daemon, wires, began)


@row(
    "F41", "64 MiB of memory", "RLIMIT_DATA, 2,000 sessions at once with domains of their own; then 1 MiB", "all are served within it; with far too little it does not start, and says so",
    "a_small_cache_stays_small, faults: all of it in 128 MiB, faults: with too little memory to start it ends at once",
    note="the limit is that of the process (RLIMIT_DATA) and not of a control group, which a test can make on few machines: an allocation beyond it fails at once, "
    "while a control group first takes pages away and then kills. What is resident is measured, and is the figure to hold against a group's limit.",
)
def memory(stage):
    def limit(size):
        return lambda: resource.setrlimit(resource.RLIMIT_DATA, (size << 20, size << 20))

    daemon = Daemon(stage, "memory", {"CACHE_MAX": "2000"}, limits=limit(64))
    wires = [Wire(daemon) for _ in range(2000)]
    for first in range(0, 2000, 100):
        for n in range(first, first + 100):
            wires[n].send(NEGOTIATION + packet("C", connecting()) + packet("H", strings(f"h{n}.example")) + packet("M", strings(f"<u@m{n}.example>")))
        for n in range(first, first + 100):
            expect("".join(wires[n].answer()[0] for _ in range(4)) == "Occc", "each is served")
    peak = daemon.resident("VmHWM")
    expect(peak < 64 << 10, f"{peak} KiB resident")
    daemon.serves()
    for wire in wires:
        wire.close()
    daemon.quiet()
    expect(daemon.sessions("panics") == 0, "no panic")
    daemon.stop()
    little = subprocess.run(
        daemon.command, env=daemon.environment(), capture_output=True, timeout=20, check=False, user=65534, group=65534,
        extra_groups=[], preexec_fn=limit(1),
    )
    said = (little.stdout + little.stderr).decode("utf-8", "replace")
    expect(little.returncode == 69 and " ERROR event=start " in said and said.count("\n") < 10, f"{little.returncode}: {said}")
    return f"2,000 sessions, {peak // 1024} MiB resident at most; with 1 MiB status {little.returncode}"


@row(
    "F47", "a thread that is stuck; a machine that is only busy", "ptrace stops the thread that serves, WATCHDOG_USEC is 3 s; then 2 busy processes for each processor, 8 s",
    "no sign of life within the manager's patience, and a line that says why; killed and started again it serves; no false alarm when busy",
    "a_runtime_that_is_stuck_is_noticed_until_it_goes_on, a_busy_machine_is_no_reason_for_silence, "
    "faults: one thread is stuck: mail comes in\\, and the watchdog ends it, faults: all processors busy for a minute: it filters\\, and it is not ended",
    waits=15,
)
def stuck(stage):
    patience = 3.0
    manager = Supervisor(stage, "stuck", patience)
    daemon = Daemon(stage, "stuck", notify=manager.environment)
    until(lambda: len(manager.signs) > 2, 10, "signs of life")
    # The busy machine first: it is the one thing that others would suffer from.
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * os.cpu_count())]
    try:
        end, gap, sessions = time.monotonic() + 8, 0.0, 0
        while time.monotonic() < end:
            expect(session(daemon) == "ccc" and session(daemon, LISTED) == "y", "it filters")
            gap, sessions = max(gap, manager.silence()), sessions + 2
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    expect(gap < patience, f"busy: {gap:.2f} s without a sign of life")
    expect(not daemon.lines("event=watchdog"), "nobody was alarmed")
    yield
    freezer = subprocess.Popen(
        [sys.executable, "-B", os.path.join(stage.sources, "..", "inside", "freeze.py"), str(daemon.process.pid), "30"], stdout=subprocess.PIPE
    )
    expect(freezer.stdout.readline() == b"frozen\n", "the thread is stuck")
    began = time.monotonic()
    until(lambda: manager.silence() > patience, 2 * patience, "the silence is noticed")
    noticed = time.monotonic() - began
    daemon.told(1, "ERROR event=watchdog", "did not answer within")
    # As a service manager does then.
    daemon.signal(signal.SIGABRT)
    daemon.signal(signal.SIGKILL)
    daemon.process.wait(10)
    freezer.wait(10)
    daemon.start()
    daemon.serves()
    daemon.stop()
    return f"noticed after {noticed:.1f} s, and said; busy: longest silence {gap:.1f} s, {sessions} sessions, all right"
