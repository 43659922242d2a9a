#!/bin/bash
# Faults: what breaks around gatepost or in it, and what mail notices of it. On a booted Debian with Postfix and
# the package, then with the plain daemon what a container has no means for.
#
# Elsewhere: each fault that needs no booted system in the suite `reliability`, whose table is docs/reliability.md; forged
# and truncated states in all their forms in tests/handover and tests/daemon/handover.rs.
source "$(dirname "$0")/lib.sh"
source "$here/dns.sh"
source "$here/container.sh"

packages=$results/packages/deb
BOOT_TIMEOUT=440
boot "$cache/bookworm-postfix" faults --bind-ro="$packages:/packages"
boot "$cache/bookworm-postfix" hunt --bind-ro="$packages:/packages"
# systemd keeps more over there: credentials for all processes of a unit, descriptors over a stop.
boot "$cache/trixie-postfix" hunt --bind-ro="$packages:/packages"

start_dns
crowd() { python3 "$here/crowd.py" 11332 "$@" >"$work/log/crowd-$1.txt" 2>&1 || { tail -5 "$work/log/crowd-$1.txt"; return 1; }; }
field() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$gatepost_pid/status"; }
verdict() { python3 "$here/crowd.py" 11332 one "$1"; }

# The container cannot give a service less memory: here the process may have no more addresses than half of the unit's
# MemoryMax=, and the cache forgets all the time.
ulimit -Sv $((256 << 10))
start_gatepost memory LOG_LEVEL=INFO CACHE_MAX=500 CONNECTIONS=2048
ulimit -Sv unlimited
check "2,000 connections and a cache that overflows, in 256 MiB of addresses" crowd flood 2000 8
echo "measured: peak of $(field VmHWM) kB resident, $(field VmPeak) kB of addresses"
check "all of it in 128 MiB" test "$(field VmHWM)" -lt $((128 << 10))
# So many questions at once may cost answers, and then lists rest for some seconds.
filters() { [ "$(verdict 8.8.2.2)" = y ]; }
check "it filters as before, as soon as the lists have rested" await 60 filters
check "and says nothing of defects" none_of -E 'event=panic|memory allocation' "$gatepost_log"
stop_gatepost memory

# Far too little: it ends, or it sheds, but it says so and does not spin.
ulimit -Sv $((24 << 10))
little() {
    timeout 20 env -i PATH="$PATH" SPAMHAUS_DQS_API_KEY="$key" SPAMHAUS_DQS_LISTEN=inet:11999@127.0.0.1 SPAMHAUS_DQS_THREADS=8 \
        SPAMHAUS_DQS_ENV_FILE=/dev/null SPAMHAUS_DQS_USER=nobody "$gatepost" run >"$work/log/little.log" 2>&1
    local status=$?
    [ $status -ne 0 ] && [ $status -ne 124 ] && [ "$(wc -l <"$work/log/little.log")" -lt 20 ]
}
check "with too little memory to start it ends at once" little
ulimit -Sv unlimited

# A pause of the whole machine, as far as a process can tell one.
start_gatepost pause CACHE_TTL_LISTED=5
check "a listing is known" test "$(verdict 8.8.2.2)" = y
sed -i '/^8\.8\.2\.2 /d' "$work/zones/zen4"
kill -STOP "$gatepost_pid"
# The time that passes is what is tested: that of the listing.
sleep 6
kill -CONT "$gatepost_pid"
dns_forgot() { ! answers 5353 2.2.8.8 zen 127.0.0.2; }
await 70 dns_forgot || die "rbldnsd reads its zone anew"
check "no listing outlives its time over a pause" test "$(verdict 8.8.2.2)" = c
check "and all others are found" test "$(verdict 8.8.2.3)" = y
check "it has nothing to say about it" none_of -E ' (ERROR|WARN) ' "$gatepost_log"
stop_gatepost pause

# A log that nobody reads: the pipe is full after some hundred lines.
mkfifo "$work/unread"
exec 7<>"$work/unread"
printf 'SPAMHAUS_DQS_API_KEY=%s\n' "$key" >"$work/unread.env"
env -i PATH="$PATH" SPAMHAUS_DQS_ENV_FILE="$work/unread.env" SPAMHAUS_DQS_LISTEN=inet:11332@127.0.0.1 \
    SPAMHAUS_DQS_NAMESERVERS=127.0.0.1:5353 SPAMHAUS_DQS_USER=nobody SPAMHAUS_DQS_LOG_LEVEL=TRACE \
    "$gatepost" run 2>"$work/unread" &
gatepost_pid=$!
await 10 listens 11332
check "a log that nobody reads holds nobody up" crowd flood 100 40
# The list may rest for a moment, if the flood's questions were not answered in time.
serves() { [ "$(verdict 8.8.2.3)" = y ]; }
check "it serves as before" await 20 serves
timeout 20 cat <&7 >"$work/log/unread.txt" & reader=$!
check "and tells what was lost, once somebody reads" await 15 grep -q 'event=log suppressed=[0-9]' "$work/log/unread.txt"
kill -TERM "$gatepost_pid"
check "it ends" await 10 gone "$gatepost_pid"
kill $reader 2>/dev/null
exec 7>&-
hunt_for_key
exit 0
