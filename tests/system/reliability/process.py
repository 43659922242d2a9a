"""Faults of the process and of its machine: F36, F41 and F47."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

from clients import NEGOTIATION
from table import row
from world import CLEAN, LISTED, REVERSED, Daemon, Wire, connecting, expect, milliseconds, packet, session, strings, until, verdict


@row(
    "F36", "a pause of the machine", "SIGSTOP for 5 s, with sessions open; the list forgets the client meanwhile",
    "sessions go on where they were, nothing is believed beyond its time, no line above info",
    "a_process_that_is_stopped_gives_no_sign_of_life_and_goes_on_where_it_was, what_one_process_remembers_the_next_one_knows_for_the_time_that_is_left, "
    "faults: no listing outlives its time over a pause, faults: stopped (SIGSTOP): mail comes in\\, and the watchdog ends it",
    waits=5,
)
def pause(stage):
    daemon = Daemon(stage, "pause", {"CACHE_TTL_LISTED": "4"})
    daemon.serves()
    wires = [Wire(daemon) for _ in range(20)]
    for wire in wires:
        wire.greet()
    daemon.names.script({"*": "nxdomain"})
    yield
    expect(verdict(daemon, LISTED)[0] == "y", "the listing is remembered")
    daemon.signal(signal.SIGSTOP)
    for wire in wires:
        wire.send(packet("C", connecting(LISTED)))
    # The time that passes is what is tested.
    time.sleep(5)
    began = time.monotonic()
    daemon.signal(signal.SIGCONT)
    for wire in wires:
        expect(wire.answer()[0] == "c", "the listing is over")
    took = time.monotonic() - began
    for wire in wires:
        expect(wire.helo()[0] + wire.mail()[0] == "cc", "the session goes on")
        wire.close()
    daemon.stop()
    expect(not daemon.loud(), f"{daemon.loud()[:2]}")
    return f"20 sessions answered within {milliseconds(took)} of the end of the pause, none by the old listing"


@row(
    "F41", "64 MiB of memory", "RLIMIT_DATA, 2,000 sessions at once with domains of their own; then 1 MiB", "all are served within it; with far too little it does not start, and says so",
    "a_small_cache_stays_small, faults: all of it in 128 MiB, faults: with too little memory to start it ends at once",
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


class Supervisor:
    """What a service manager hears of a daemon."""

    def __init__(self, stage, name, patience):
        self.path = os.path.join(stage.directory, name + ".notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.environment = {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": str(int(patience * 1e6))}
        self.signs = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            if b"WATCHDOG=1" in self.socket.recv(4096).split(b"\n"):
                self.signs.append(time.monotonic())

    def silence(self):
        """Seconds since the last sign of life."""
        return time.monotonic() - self.signs[-1]


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
