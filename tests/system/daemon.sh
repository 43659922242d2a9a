#!/bin/bash
# gatepost as a Unix process: what root's start leaves behind, and one clear line for each bad start.
source "$(dirname "$0")/lib.sh"
source "$here/dns.sh"

# stops_with STATUS PATTERN [VARIABLE=VALUE...]: a start that fails by itself, at once, with one reason that
# matches; `.` is any status but 0.  Neither key may be printed.
stops_with() {
    local wanted=$1 pattern=$2 settings=() setting out status; shift 2
    for setting in "$@"; do settings+=("SPAMHAUS_DQS_$setting"); done
    out=$(timeout 10 env -i PATH="$PATH" SPAMHAUS_DQS_ENV_FILE="$work/empty.env" SPAMHAUS_DQS_USER=nobody \
        SPAMHAUS_DQS_API_KEY="$key" SPAMHAUS_DQS_LISTEN=inet:11999@127.0.0.1 \
        SPAMHAUS_DQS_NAMESERVERS=127.0.0.1:5353 "${settings[@]}" "$gatepost" run 2>&1)
    status=$?
    printf '== %s\n%s\nstatus %s\n' "$*" "$out" "$status" >>"$work/log/starts.txt"
    [ $status -ne 0 ] && [ $status -ne 124 ] || { echo "status $status: $out"; return 1; }
    [ "$wanted" = . ] || [ $status -eq "$wanted" ] || { echo "status $status, not $wanted: $out"; return 1; }
    grep -qiE -- "$pattern" <<<"$out" || { echo "nothing like $pattern in: $out"; return 1; }
}

# holds FIELD PATTERN: a line of /proc/PID/status.
holds() { grep -E "^$1:" "/proc/$gatepost_pid/status" | grep -qE "$2" || { grep -E "^$1:" "/proc/$gatepost_pid/status"; return 1; }; }

no_key_in() { ! tr '\0' '\n' <"/proc/$gatepost_pid/$1" | grep -qi -- "$key"; }

start_dns
: >"$work/empty.env"

start_gatepost root
uid=$(id -u nobody) gid=$(id -g nobody)
check "started as root it runs as its account" holds Uid "\s$uid\s+$uid\s+$uid\s+$uid$"
check "and as its group" holds Gid "\s$gid\s+$gid\s+$gid\s+$gid$"
check "without other groups" holds Groups "^Groups:\s*($gid)?\s*$"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
    check "without capabilities ($set)" holds $set "\s0+$"
done
check "and can gain none" holds NoNewPrivs "\s1$"
check "the key is not on the command line" no_key_in cmdline
check "nor in the environment" no_key_in environ
check "the port in use is named" stops_with . "11332" LISTEN=inet:11332@127.0.0.1
check "a socket that answers is not taken over" stops_with . "milter.sock" "LISTEN=unix:$work/run/milter.sock"
check "and still answers" test -S "$work/run/milter.sock"
stop_gatepost root
check "its socket is gone with it" test ! -e "$work/run/milter.sock"

start_gatepost killed
kill -KILL "$gatepost_pid"; wait "$gatepost_pid" 2>/dev/null
check "a killed daemon leaves its socket" test -S "$work/run/milter.sock"
start_gatepost again
ok "the next start takes over a socket that nobody answers"
stop_gatepost again

# The usual soft limit is less than the 2,048 connections that are served at once.
before=$(ulimit -Sn); ulimit -Sn 256
start_gatepost files
ulimit -Sn "$before"
check "it makes room for as many files as its connections need" \
    test "$(awk '/^Max open files/ { print $4 }' "/proc/$gatepost_pid/limits")" -ge 2600
stop_gatepost files

start_gatepost interrupt
kill -INT "$gatepost_pid"
check "SIGINT ends it" await 10 gone "$gatepost_pid"
wait "$gatepost_pid"
check "with status 0" test $? -eq 0

# verb WORD...: a command of the administrator.  What it says is searched for the key below.
verb() { "$gatepost" "$@" --control "$work/run/control.sock" 2>&1 | tee -a "$work/log/verbs.txt"; return "${PIPESTATUS[0]}"; }
status_is() { local wanted=$1; shift; "$@"; [ $? -eq "$wanted" ]; }
stranger() { setpriv --reuid=daemon --regid=daemon --clear-groups "$@" --control "$work/run/control.sock"; }
scrape() { curl -sS --max-time 10 "$@" | tee -a "$work/log/verbs.txt"; }

start_gatepost control "CONTROL_LISTEN=unix:$work/run/control.sock" "METRICS_LISTEN=unix:$work/run/metrics.sock"
check "the control socket is for account and group" test "$(stat -c %a:%U "$work/run/control.sock")" = 660:nobody
check "status tells of the daemon" grep -q "process $gatepost_pid, account nobody" <(verb status)
check "and speaks JSON" grep -q '"state":"serving"' <(verb status --json)
check "metrics end as they should" grep -qx '# EOF' <(verb status --prometheus)
check "reload over the socket" grep -q "in force" <(verb reload)
check "the cache can be flushed" grep -q "forgot the answers of zen" <(verb cache flush zen)
for word in status reload drain "cache stats" "cache flush"; do
    # shellcheck disable=SC2086
    check "another account may not ($word)" status_is 77 stranger "$gatepost" $word
done
check "and hears what to do, in one line" \
    test "$(stranger "$gatepost" status 2>&1 | grep -c gatepost-admin)" -eq 1
"$gatepost" metrics-exporter --listen inet:9119@127.0.0.1 --user nobody \
    --metrics-socket "$work/run/metrics.sock" >"$work/log/exporter.txt" 2>&1 &
exporter_pid=$!
await 10 listens 9119
check "the exporter is no root" grep -qE "^Uid:\s*$uid\s+$uid\s+$uid\s+$uid$" "/proc/$exporter_pid/status"
check "and has no capabilities" grep -qE "^CapEff:\s*0+$" "/proc/$exporter_pid/status"
check "it serves the metrics" grep -qx 'gatepost_up 1' <(scrape http://127.0.0.1:9119/metrics)
check "drain ends the daemon" verb drain
await 10 gone "$gatepost_pid"
wait "$gatepost_pid"
check "with status 0, too" test $? -eq 0
check "who asks then hears what to do" status_is 69 verb status
check "the exporter tells that it is away" grep -qx 'gatepost_up 0' <(scrape http://127.0.0.1:9119/metrics)
kill -TERM "$exporter_pid"; wait "$exporter_pid"
check "the exporter ends with status 0" test $? -eq 0

# Sockets of the service manager, by systemd's own tool: one in each name space, and one name for both.
activated() {
    local name=$1; shift
    gatepost_log=$work/log/gatepost-$name.log
    env -i PATH="$PATH" systemd-socket-activate --listen="$work/run/unit.sock" --listen=127.0.0.1:11340 \
        --fdname="$1" -E SPAMHAUS_DQS_ENV_FILE="$work/gatepost.env" -E SPAMHAUS_DQS_USER=nobody \
        -E SPAMHAUS_DQS_NAMESERVERS=127.0.0.1:5353 "$gatepost" run >"$gatepost_log" 2>&1 &
    gatepost_pid=$!
}
knock() { python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()' "$1"; }

activated activated milter:milter
await 10 listens 11340 || die "systemd-socket-activate listens" "$(tail -5 "$gatepost_log")"
check "it starts when somebody calls" knock 11340
check "and is ready" await 10 grep -q event=ready "$gatepost_log"
check "with the socket in the file system" grep -q "unix:$work/run/unit.sock (socket unit, milter)" "$gatepost_log"
check "and the one in the network" grep -q "inet:11340@127.0.0.1 (socket unit, milter)" "$gatepost_log"
check "all of the confinement that this kernel has is enforced" \
    grep -qE "event=confined .*user enforced .*capabilities enforced.*landlock (enforced|partial).*core enforced" "$gatepost_log"
stop_gatepost activated
check "its socket stays: it is not its own" test -S "$work/run/unit.sock"
rm -f "$work/run/unit.sock"

activated misnamed web:web
await 10 listens 11340 || die "systemd-socket-activate listens" "$(tail -5 "$gatepost_log")"
check "a socket unit with a wrong name is started" knock 11340
wait "$gatepost_pid"
check "and ends with status 78" test $? -eq 78
check "which says what the name should be" grep -q "a socket named web; .*FileDescriptorName=milter" "$gatepost_log"
rm -f "$work/run/unit.sock"

echo precious >"$work/run/file"
check "a path that is no socket is refused" stops_with . "$work/run/file" "LISTEN=unix:$work/run/file"
check "and left alone" grep -qx precious "$work/run/file"
check "an unknown account is named, with the remedy" stops_with 78 "no-such-account" USER=no-such-account
check "a missing key is named" stops_with 78 "API_KEY" API_KEY=
for bad in REPLACE_ME_WITH_YOUR_DQS_KEY your_DQS_key a.b "two words" \
    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; do
    check "a key that cannot be one is refused (${bad:0:14})" stops_with 78 "API_KEY" "API_KEY=$bad"
done
check "a bad network is named" stops_with 78 "bogus" "IP_WHITELIST=8.8.0.2, bogus"
check "a bad number is named" stops_with 78 "CACHE_MAX" CACHE_MAX=-1
check "an empty set of codes by accident is refused" stops_with 78 "ZEN_REJECT_CODES" "ZEN_REJECT_CODES=2;3"
check "a bad stage is named" stops_with 78 "ENFORCE_STAGE" ENFORCE_STAGE=later
check "all problems come in one run" stops_with 78 "CACHE_MAX" CACHE_MAX=abc ZEN_REJECT_CODES=300
check "the second of them too" grep -q "ZEN_REJECT_CODES" <(tail -4 "$work/log/starts.txt")
check "an unknown variable is named" stops_with 78 "NO_SUCH_THING" NO_SUCH_THING=1
hunt_for_key
exit 0
