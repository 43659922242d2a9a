"""Faults that only the kernel can make: calls that fail, disks that are full. F50 to F53."""

import errno
import os
import signal
import subprocess
import time

from peers import NEGOTIATION
from supervisor import Supervisor
from table import row
from world import CLEAN, LISTED, NOBODY, Daemon, Wire, expect, milliseconds, run, until


class Tampering:
    """Makes system calls of a running process fail, with strace."""

    def __init__(self, stage, daemon, *options):
        self.path = os.path.join(stage.log, f"strace-{daemon.name}.txt")
        self.process = subprocess.Popen(["strace", "-f", "-o", self.path, "-p", str(daemon.process.pid), *options], stderr=subprocess.PIPE)
        # It says so when it has all threads.
        said = self.process.stderr.readline().decode()
        expect("attached" in said, f"strace: {said}")

    def count(self):
        """How many calls were made to fail."""
        with open(self.path, encoding="utf-8", errors="replace") as file:
            return file.read().count("(INJECTED)")

    def end(self):
        """Goes, or follows the process to its end."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        self.process.stderr.close()
        return self.count()


@row(
    "F50", "the kernel gives no connection away", "accept4(2) fails five times each with EMFILE, ENFILE, ENOMEM, ENOBUFS, EPERM, EINVAL, ECONNABORTED and EPROTO (strace), "
    "while sessions are open and others come",
    "who is in is served meanwhile, who comes as soon as the kernel gives it; of what lacks, one line a minute, and nothing ends",
    "the_server_survives_a_process_without_descriptors",
)
def unaccepted(stage):
    daemon = Daemon(stage, "unaccepted")
    daemon.serves()
    failed, longest = 0, 0.0
    causes = ("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EPERM", "EINVAL", "ECONNABORTED", "EPROTO")
    for cause in causes:
        early = Wire(daemon)
        early.greet()
        tampering = Tampering(stage, daemon, "-e", "trace=accept4", "-e", f"inject=accept4:error={cause}:when=1..5")
        began = time.monotonic()
        wires = [Wire(daemon) for _ in range(5)]
        for wire in wires:
            wire.send(NEGOTIATION)
        expect(early.connect()[0] + early.helo()[0] == "cc", f"{cause}: who is in is served")
        for wire in wires:
            expect(wire.answer()[0] == "O" and wire.connect(LISTED)[0] == "y", f"{cause}: who waited is served")
            wire.close()
        longest = max(longest, time.monotonic() - began)
        early.close()
        count = tampering.end()
        expect(count == 5, f"{cause}: {count} calls failed")
        failed += count
    daemon.quiet()
    daemon.serves()
    daemon.told(1, "ERROR event=accept", os.strerror(errno.EMFILE))
    expect(len(daemon.loud()) == 1, f"{daemon.loud()[:3]}")
    daemon.stop()
    return f"{failed} calls failed in {len(causes)} ways, {5 * len(causes)} sessions served, the last {milliseconds(longest)} after it came at most; 1 line"


@row(
    "F51", "the disk is full", "a tmpfs without an octet or an inode left holds the log, and then the directory of the sockets",
    "sessions are judged; lines wait in memory, and come when there is room again; a start that cannot make its socket ends with status 69, "
    "the path and the reason",
    "faults: the disk is full: 600 mails get their verdicts",
)
def full(stage):
    place = os.path.join(stage.directory, "full")
    os.makedirs(place)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", place], check=True)
    try:
        daemon = Daemon(stage, "full-log", log=os.path.join(place, "log"))
        daemon.serves()
        filler = os.path.join(place, "filler")
        fill(filler)
        written = os.path.getsize(daemon.log_path)
        # More than what is left of a page that is begun.
        for _ in range(50):
            daemon.serves()
        late = 51 - len(daemon.lines("event=verdict"))
        expect(late > 40 and os.path.getsize(daemon.log_path) < written + 4096, f"there was no room: {late} lines are missing")
        os.remove(filler)
        daemon.told(51, "event=verdict", "action=reject")
        lost = daemon.status()["log"]["lost"]
        expect(lost == 0, f"{lost} lines are lost")
        daemon.stop()
        directory = os.path.join(place, "sockets")
        os.makedirs(directory)
        os.chown(directory, NOBODY, NOBODY)
        subprocess.run(["mount", "-o", "remount,size=64k,nr_inodes=" + str(inodes(place)), place], check=True)
        path = os.path.join(directory, "milter.sock")
        status, said = run(stage, ["run"], daemon.settings | {"LISTEN": "unix:" + path, "CONTROL_LISTEN": ""})
        expect(status == 69 and path in said and os.strerror(errno.ENOSPC) in said, f"{status}: {said}")
    finally:
        subprocess.run(["umount", "-l", place], check=True)
    return f"51 sessions of each kind judged, {late} of 51 lines late and {lost} lost; without an inode status {status}, with the path"


def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError as error:
            expect(error.errno == errno.ENOSPC, str(error))


def inodes(place):
    """As many as there are in use."""
    figures = os.statvfs(place)
    return figures.f_files - figures.f_ffree


@row(
    "F52", "the kernel gives no memory file, or does not let it be written, when sessions are to be handed over",
    "memfd_create(2) fails with EMFILE, ENOMEM and ENOSPC, and so does write(2) to such a file with ENOSPC (strace), on SIGTERM, with 10 sessions in the middle of a "
    "message; then only for the remembered answers",
    "no session is lost: those that cannot be handed over go on in the old process to their end, which is 0, and a line says why; "
    "without its answers the next process asks anew, and a line says so",
    "what_one_process_remembers_the_next_one_knows_for_the_time_that_is_left",
)
def unkept(stage):
    drained, ways = 0, (
        ("memfd_create", "EMFILE"), ("memfd_create", "ENOMEM"), ("memfd_create", "ENOSPC"), ("write", "ENOSPC"),
    )
    for call, cause in ways:
        where = ["-P", "/memfd:gatepost"] if call == "write" else []
        manager, daemon, tampering, wires = leaving(stage, f"unkept-{call}-{cause}", *where, "-e", f"trace={call}", "-e", f"inject={call}:error={cause}:when=1")
        daemon.told(1, "WARN event=handover", os.strerror(getattr(errno, cause)), "they are drained")
        for wire in wires:
            expect(wire.rcpt()[0] == "c" and wire.ask("M", b"<u@listed.example>\0")[0] == "y", f"{call} {cause}: it goes on in the old process")
            wire.close()
        ended(daemon, tampering)
        daemon.names.close()
        until(lambda manager=manager: not manager.kept(), 5, "nothing is left behind")
        drained += len(wires)
    manager, daemon, tampering, wires = leaving(stage, "unkept-answers", "-e", "trace=memfd_create", "-e", "inject=memfd_create:error=ENOSPC:when=2")
    daemon.told(1, "WARN event=answers", os.strerror(errno.ENOSPC), "remembered answers are lost")
    ended(daemon, tampering)
    expect(len(manager.kept()) == len(wires) + 1, f"stored: {manager.kept()}")
    daemon.names.asked()
    daemon.start(manager)
    for wire in wires:
        expect(wire.rcpt()[0] == "c" and wire.ask("M", b"<u@listed.example>\0")[0] == "y", "it goes on in the next process")
        wire.close()
    asked = daemon.names.asked()["listed.example.dbl"]
    expect(asked == 1, f"the next process asks anew: {asked}")
    expect(daemon.sessions("lost") == 0, "no session is lost")
    daemon.stop()
    return f"{drained} sessions ended well in the old process, in {len(ways)} ways; {len(wires)} handed over without the answers; none lost"


def leaving(stage, name, *options):
    """A daemon that is told to end while its calls fail, its service manager, and sessions in the middle of a message."""
    manager = Supervisor(stage, name, 30)
    daemon = Daemon(stage, name, {"ENFORCE_STAGE": "mail"}, {"listed.example.dbl": "127.0.1.2"}, notify=manager.environment)
    wires = [Wire(daemon) for _ in range(10)]
    for wire in wires:
        wire.greet()
        expect(wire.connect(CLEAN)[0] + wire.helo()[0] == "cc", "a session begins")
        expect(wire.ask("M", b"<u@listed.example>\0")[0] == "y" and wire.mail()[0] == "c", "a message begins")
    tampering = Tampering(stage, daemon, *options)
    daemon.signal(signal.SIGTERM)
    until(tampering.count, 5, "a call fails")
    return manager, daemon, tampering, wires


def ended(daemon, tampering):
    status = daemon.process.wait(20)
    tampering.process.wait(10)
    expect(status == 0 and "event=panic" not in daemon.log(), f"it ends with status {status}")


@row(
    "F53", "no room, or a broken disk, where the key is kept", "gatepost key set with another key: on a full tmpfs; with write(2), fsync(2) and rename(2) failing (strace)",
    "status 74, the path and the reason; the key that was there stays, and nothing of the other one is left behind",
    "admin: and the key before stays",
)
def key_kept(stage):
    # Where nobody's files are touched: an /etc of its own, and no systemd that would want a credential.
    script = """
set -e
first=$1 other=$2 filled=$3; shift 3
mount -t tmpfs -o size=64k,mode=755 tmpfs /etc
[ ! -e /run/systemd ] || mount -t tmpfs tmpfs /run/systemd
printf %s "$first" | "$0" key set >/dev/null
before=$(sha256sum </etc/gatepost/dqs-key)
[ -z "$filled" ] || dd if=/dev/zero of=/etc/filler bs=512 2>/dev/null || true
set +e
printf %s "$other" | "$@" "$0" key set
status=$?
[ "$before" = "$(sha256sum </etc/gatepost/dqs-key)" ] || echo "the key is gone"
ls /etc/gatepost
exit $status
"""
    ways = {"full": ["full"]}
    for call, cause in (("write", "ENOSPC"), ("fsync", "EIO"), ("rename", "EIO")):
        # Without what is written: it is the key.
        ways[f"{call} {cause}"] = [
            "", "strace", "-s", "0", "-f", "-o", os.path.join(stage.log, f"strace-key-{call}.txt"), "-P", "/etc/gatepost/dqs-key.new",
            "-e", f"trace=/^{call}", "-e", f"inject=/^{call}:error={cause}",
        ]
    for way, words in ways.items():
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, stage.program, stage.key, stage.key2, *words], capture_output=True, timeout=30, check=False,
        )
        said = (done.stdout + done.stderr).decode()
        cause = os.strerror(errno.EIO if "EIO" in way else errno.ENOSPC)
        expect(done.returncode == 74, f"{way}: status {done.returncode}: {said}")
        expect("/etc/gatepost/dqs-key" in said and cause in said, f"{way}: {said}")
        expect(done.stdout == b"dqs-key\n", f"{way}: the other key is left behind, or the first is not: {said}")
    return f"{len(ways)} ways, each with status 74; the first key stayed"
