"""Faults of files, sockets and who brings them: F37 to F44."""

import errno
import os
import signal
import socket
import sys
import threading
import time

from table import row
from world import CLEAN, HERE, LISTED, NOBODY, PREFIX, Daemon, Wire, expect, milliseconds, run, session, until, verdict

sys.path.insert(1, os.path.join(HERE, "..", "differences"))
# pylint: disable=wrong-import-position
import python_milter


def place(stage, name):
    directory = os.path.join(stage.directory, name)
    os.makedirs(directory, exist_ok=True)
    os.chown(directory, NOBODY, NOBODY)
    return directory


def write(path, octets):
    with open(path, "wb") as file:
        file.write(octets)


@row(
    "F37", "a configuration with an unknown name, a wrong type, an allow list of everybody, a byte order mark, nothing in it, 10 MB; a directory, a FIFO",
    "a start with each as the TOML file, and check-config", "status 78 within a second, file, line and column, what is wrong, what to do; an empty file is none",
    "toml_problems_have_line_column_and_the_name_that_was_meant, allow_lists_name_the_entry_that_is_wrong, the_largest_files_are_read_or_refused_in_no_time, "
    "what_is_no_configuration_is_refused_in_one_line, files_that_cannot_be_read_are_told_with_a_remedy",
)
def configurations(stage):
    directory = place(stage, "configurations")
    file = os.path.join(directory, "gatepost.toml")
    settings = {"API_KEY": stage.key, "ENV_FILE": "/dev/null", "LISTEN": f"unix:{directory}/milter.sock"}
    cases = {
        "an unknown name": (b'[cache]\nmaks = 5\n', ":2:1: ", "[cache] has max"),
        "an unknown table": (b"\n[cash]\nmax = 5\n", ":2:", "cash"),
        "a wrong type": (b'connections = "many"\n', ":1:15: ", "give a number"),
        "an allow list of everybody": (b'[allow]\naddresses = ["10.0.0.0/8",\n "0.0.0.0/0"]\n', ":2:13: ", "allow.force"),
        "no TOML": (b"listen = \n", ":1:", "gatepost.toml"),
        "NUL": (b"connections = 5\0\n", ":1:", "gatepost.toml"),
        "Latin-1": (b"# caf\xe9\n", "gatepost.toml", "UTF-8"),
        "10 MB": (b"# " + b"x" * 10_000_000 + b"\n", "gatepost.toml", "larger than"),
    }
    longest = 0.0

    def refused(way, where, what, path=file):
        nonlocal longest
        for words in (["run"], ["check-config"]):
            said = []
            took = until(lambda words=words: said.append(run(stage, [*words, "--config", path], settings)) or True, 5, way)
            status, text = said[0]
            expect(status == 78, f"{way}: status {status}: {text}")
            expect(where in text and what in text and text.count("\n") <= 3, f"{way}: {text}")
            longest = max(longest, took)

    for way, (octets, where, what) in cases.items():
        write(file, octets)
        refused(way, where, what)
    refused("a directory", directory, "regular file", directory)
    os.mkfifo(os.path.join(directory, "fifo"))
    refused("a FIFO", "fifo", "regular file", os.path.join(directory, "fifo"))
    for way, octets in (("nothing", b""), ("a byte order mark", b"\xef\xbb\xbfconnections = 5\r\n")):
        write(file, octets)
        status, text = run(stage, ["check-config", "--config", file], settings)
        expect(status == 0 and (octets == b"" or "= 5 " in text), f"{way}: {status}: {text[-300:]}")
    expect(longest < 1, f"the longest took {longest:.2f} s")
    return f"{len(cases) + 2} refused with their place, the longest in {milliseconds(longest)}; an empty file and a byte order mark are read"


@row(
    "F38", "SIGHUP with a broken configuration, then 100 SIGHUP at once, under load", "the TOML file in one of the two states; sessions all the time",
    "the old configuration stays and the log says where it is wrong; of the 100 fewer than half are done, and the new file is in force; no session notices",
    "a_broken_file_changes_nothing, reload_tells_all_problems_and_changes_nothing_then, reloads_that_come_at_once_are_all_answered, "
    "faults: unreadable since the start: systemctl reload fails",
)
def reloads(stage):
    daemon = Daemon(stage, "reloads", toml='[zen]\nreject_codes = ["2"]\n')
    daemon.serves()
    wrong, done, sessions = [], threading.Event(), [0]

    def load():
        while not done.is_set():
            said = session(daemon), session(daemon, LISTED)
            sessions[0] += 2
            if said != ("ccc", "y"):
                wrong.append(said)

    sender = threading.Thread(target=load, daemon=True)
    sender.start()
    write(daemon.file, b'[zen]\nreject_codes = ["none"]\nenabel = true\n')
    daemon.signal(signal.SIGHUP)
    daemon.told(2, "ERROR event=reload", "gatepost.toml:")
    reload = daemon.status()["reload"]
    expect(not reload["ok"] and len(reload["problems"]) == 2, f"status: {reload}")
    daemon.serves()
    write(daemon.file, b"[zen]\nreject_codes = ['2', '3']\n[reply]\nzen = '554 5.7.1 the last'\n")
    for _ in range(100):
        daemon.signal(signal.SIGHUP)
    took = until(lambda: b"the last" in verdict(daemon, LISTED)[1], 5, "the new rules are in force")
    done.set()
    sender.join()
    expect(not wrong, f"sessions: {wrong[:3]}")
    expect(daemon.status()["reload"]["ok"], "status says so")
    daemon.stop()
    count = len(daemon.lines("event=reloaded"))
    expect(1 <= count < 50, f"{count} reloads")
    return f"2 problems told, the old rules stayed; reloads for 100 signals: {count}, the new rules in force after {milliseconds(took)}; {sessions[0]} sessions, all right"


@row(
    "F39", "an env file with quotes, blanks, export, comments, CRLF, a byte order mark, $, #, a backslash, two of a kind, no =",
    "check-config with each, and the Python milter's reader", "the Python milter's value, also behind export and a byte order mark, which it "
    "does not know; what cannot be meant so is an error with the line",
    "an_env_file_is_read_whole_or_refused_with_the_line",
)
def env_files(stage):
    directory = place(stage, "env-files")
    path = os.path.join(directory, "env")
    name = PREFIX + "REPLY_ZEN"
    text = "554 5.7.1 no"
    read = [
        f"{name}={text}\n", f"{name}={text}", f'{name}="{text}"\n', f"{name}='{text}'\n", f"  {name} = {text}  \n", f"export {name}={text}\n",
        f"# a comment\n\n{name}={text}\n", f"{name}={text}\r\n", f"OTHER=1\n{name}={text}\n", f"\ufeff{name}={text}\n",
    ]
    unknown = (f"export {name}", f"\ufeff{name}")
    refused = [
        (f"{name}={text}\n{name}={text} 2\n", ":2:"), ("no equals sign\n", ":1:"), (f'{name}="{text}\n', ":1:"), (f"{PREFIX}REPLY_ZENN=x\n", ":1:"),
        ("1X=2\n", ":1:"), (f"{name}={text}\x07\n", ":1:"), (f"{name}={text}\\\n more\n", ":"), (f"{PREFIX}CACHE_MAX=5 # five\n", ":1:"),
    ]

    def check(octets):
        write(path, octets.encode())
        return run(stage, ["check-config"], {"API_KEY": stage.key, "ENV_FILE": path, "LISTEN": f"unix:{directory}/m.sock"})

    for octets in read:
        status, said = check(octets)
        expect(status == 0 and f'"{text}"' in said or f"= {text} " in said, f"{octets!r}: {status}: {said[:400]}")
        other = python_milter.read_file(path).get(name)
        expect(other == (None if octets.startswith(unknown) else text), f"{octets!r}: the Python milter reads {other!r}")
    for octets, where in refused:
        status, said = check(octets)
        expect(status == 78 and f"{path}{where}" in said, f"{octets!r}: {status}: {said[:400]}")
    return f"{len(read)} spellings of one value read, {len(refused)} refused with their line"


@row(
    "F42", "a stale socket, one in use, a file, a symbolic link, a directory at the path of the socket", "a start with each",
    "only a socket that nobody answers is replaced; else status 69 with the path and what to do, and it stays as it is",
    "a_stale_socket_is_replaced_and_nothing_else_is_touched, a_socket_path_that_is_a_regular_file_is_left_alone, "
    "daemon: a socket that answers is not taken over, daemon: the next start takes over a socket that nobody answers",
    note="the status is 69 (unavailable), as for a port that is taken, and not 78: the configuration is right, and what is in the way can go without a change of it.",
)
def socket_paths(stage):
    daemon = Daemon(stage, "socket-paths")
    statuses = []
    status, said = run(stage, ["run"], daemon.settings)
    expect(status == 69 and "already in use" in said and "choose another" in said, f"in use: {status}: {said}")
    daemon.process.kill()
    daemon.process.wait()
    expect(os.path.exists(daemon.path), "a killed daemon leaves its socket")
    daemon.start()
    daemon.serves()
    directory = daemon.directory
    write(os.path.join(directory, "file"), b"precious")
    os.symlink(os.path.join(directory, "file"), os.path.join(directory, "link"))
    os.symlink(daemon.path, os.path.join(directory, "link-to-socket"))
    os.symlink(os.path.join(directory, "nothing"), os.path.join(directory, "dangling"))
    os.makedirs(os.path.join(directory, "directory"))
    for what in ("file", "link", "link-to-socket", "dangling", "directory"):
        path = os.path.join(directory, what)
        before = os.lstat(path)
        status, said = run(stage, ["run"], daemon.settings | {"LISTEN": "unix:" + path, "CONTROL_LISTEN": ""})
        expect(status == 69 and path in said and ("remove it" in said or "choose another" in said), f"{what}: {status}: {said}")
        statuses.append(status)
        after = os.lstat(path)
        expect((before.st_ino, before.st_mode) == (after.st_ino, after.st_mode), f"{what} stays as it is")
    daemon.serves()
    daemon.stop()
    return f"the dead socket was replaced; one in use and {len(statuses)} others were left alone, with status {', '.join(map(str, sorted(set(statuses))))} and advice"


@row(
    "F43", "the port is taken", "somebody listens on it before the start", "status 69; the message names the endpoint and the command that shows who has it",
    "a_port_in_use_is_named_with_the_remedy, daemon: the port in use is named",
)
def port(stage):
    with socket.create_server(("127.0.0.1", stage.next_port())) as holder:
        endpoint = f"inet:{holder.getsockname()[1]}@127.0.0.1"
        began = time.monotonic()
        status, said = run(stage, ["run"], {"API_KEY": stage.key, "ENV_FILE": "/dev/null", "LISTEN": endpoint})
        took = time.monotonic() - began
    expect(status == 69 and endpoint in said and "ss -ltnxp" in said and said.count("\n") == 1, f"{status}: {said}")
    return f"status {status} after {milliseconds(took)}, {len(said.splitlines())} line with endpoint and remedy"


@row(
    "F44", "another account connects", "connect(2) as daemon and as the socket's group; a control socket, too", "EACCES for strangers; the group gets in",
    "a_socket_gets_the_group_and_the_permissions_of_the_settings, a_new_socket_file_is_never_open_to_more_than_its_mode, deb: Postfix may open the socket\\, others may not",
)
def accounts(stage):
    daemon = Daemon(stage, "accounts")

    def knock(path, user, group):
        child = os.fork()
        if child == 0:
            status = 9
            try:
                os.setgroups([])
                os.setgid(group)
                os.setuid(user)
                with socket.socket(socket.AF_UNIX) as endpoint:
                    status = endpoint.connect_ex(path)
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    said = []
    for kind, path in (("milter", daemon.path), ("control", daemon.control)):
        stranger, group = knock(path, 1, 1), knock(path, 1, NOBODY)
        expect(stranger == errno.EACCES, "a stranger is kept out")
        expect(group == 0, "the group gets in")
        said.append(f"{kind}: {errno.errorcode[stranger]}, with the group {group}; mode {os.stat(path).st_mode & 0o777:o}")
    wire = Wire(daemon)
    wire.greet()
    expect(wire.connect(CLEAN)[0] == "c", "it serves")
    wire.close()
    daemon.stop()
    return "; ".join(said)
