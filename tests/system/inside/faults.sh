#!/bin/bash
# What breaks around gatepost or in it, under real systemd with real Postfix: mail notices nothing, or the worst of
# it is that some comes in unchecked.
source /tests/inside/lib.sh

units=/etc/systemd/system/gatepost
mkdir -p $units.service.d $units.socket.d /etc/gatepost/gatepost.toml.d /etc/credstore /etc/credstore.encrypted
start_lists
lists=$!
start_postfix
apt-get install -y $packages/gatepost_*-1_*.deb >$work/apt 2>&1 || die "apt install" "$(cat $work/apt)"
[ ! -x /override/gatepost ] || cp --remove-destination /override/gatepost /usr/sbin/gatepost
# A short patience, so that the test needs little.
printf '[Service]\nWatchdogSec=3\nNotifyAccess=all\n' >$units.service.d/60-test.conf
systemctl daemon-reload
gatepost key set <<<"$key" >/dev/null && systemctl restart gatepost && gatepost mta postfix --apply >/dev/null ||
    die "gatepost is set up" "$(journalctl -u gatepost -n 20 --no-pager)"
# Postfix has a log of its own: where the journal is the fault, Postfix must not wait for it.
postconf -e 'maillog_file = /var/log/mail.log'
systemctl restart postfix
await 20 listens 25 || die "Postfix listens"
socket=/var/spool/postfix/gatepost/milter.sock
before=$(inode $socket)

now() { date +%s%N; }
since() { echo $((($(now) - $1) / 1000000)); }
filters() { says 8.8.2.2 u@clean.example 554 "blocked by Spamhaus SBL" && says 8.8.3.1 u@clean.example 250 ""; }
runs_as_another_than() { local pid; pid=$(main_pid); active gatepost.service && [ "$pid" != 0 ] && [ "$pid" != "$1" ]; }
logged() { journalctl --sync; journalctl -t gatepost -o cat --since "@$1" | grep -E -- "$2" >/dev/null; }
count() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1])).get(sys.argv[2], 0))' "$1" "$2"; }
deferred() { grep -cE ': (NOQUEUE|[0-9A-F]+): milter-(reject|.*) 4[0-9][0-9]|reject: .* 4[0-9][0-9] ' /var/log/mail.log; }
systemd_status() { systemctl show -P StatusText gatepost.service; }
nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
check "it filters" filters
check "it is confined as far as it can be" none_of -E '^confinement +[a-z_]+ off' <(gatepost status)

# --- a process that does not go on
stopped() {
    local pid; pid=$(main_pid); local began; began=$(now)
    kill -STOP "$pid"
    says 8.8.3.2 u@clean.example 250 "" || return 1
    await 10 runs_as_another_than "$pid" || { systemctl status gatepost; return 1; }
    took=$(since "$began")
}
took=0
check "stopped (SIGSTOP): mail comes in, and the watchdog ends it" stopped
stopped >/dev/null; echo "measured: $took ms from SIGSTOP to the next process, WatchdogSec=3"
check "soon after its patience" test "$took" -lt 6000
check "and it filters" filters
frozen() {
    local pid; pid=$(main_pid); local began; began=$(now)
    python3 /tests/inside/freeze.py "$pid" 30 >$work/freeze & local freezer=$!
    await 5 grep -q frozen $work/freeze || return 1
    says 8.8.3.3 u@clean.example 250 "" || return 1
    await 10 runs_as_another_than "$pid" || { systemctl status gatepost; return 1; }
    took=$(since "$began")
    kill $freezer 2>/dev/null; wait $freezer 2>/dev/null
    echo "$took" >$work/took
}
start=$(date +%s)
check "one thread is stuck: mail comes in, and the watchdog ends it" frozen
echo "measured: $(cat $work/took) ms from a stuck thread to the next process"
check "which was told before" logged "$start" "did not answer within"
check "and it filters" filters

# --- a machine that is only busy
sed -i 's/WatchdogSec=3/WatchdogSec=6/' $units.service.d/60-test.conf
systemctl daemon-reload; systemctl restart gatepost
busy() {
    local pid hogs=() n mails=0 end=$((SECONDS + 60)); pid=$(main_pid)
    for n in $(seq $((2 * $(nproc)))); do python3 -c 'while True: pass' & hogs+=($!); done
    while [ $SECONDS -lt $end ]; do filters || { kill "${hogs[@]}"; return 1; }; mails=$((mails + 2)); sleep 0.2; done
    kill "${hogs[@]}"; wait "${hogs[@]}" 2>/dev/null
    echo "$mails" >$work/mails
    [ "$(main_pid)" = "$pid" ]
}
start=$(date +%s)
check "all processors busy for a minute: it filters, and it is not ended" busy
echo "measured: $(cat $work/mails) mails meanwhile"
quiet() { ! logged "$1" "event|did not answer" || ! logged "$1" "did not answer"; }
check "and nobody was alarmed" quiet "$start"
sed -i 's/WatchdogSec=6/WatchdogSec=3/' $units.service.d/60-test.conf
systemctl daemon-reload; systemctl restart gatepost

# --- a process that is gone
killed() {
    local n pid began; began=$(now)
    for n in 1 2 3 4 5 6 7 8 9 10; do
        pid=$(main_pid); kill -KILL "$pid"
        await 5 runs_as_another_than "$pid" || { echo "after $n"; systemctl status gatepost; return 1; }
    done
    since "$began" >$work/took
    active gatepost.socket gatepost.service
}
check "killed ten times in a row (SIGKILL): it comes back each time" killed
echo "measured: $(cat $work/took) ms for ten kills"
check "the socket is the same" test "$(inode $socket)" = "$before"
check "and it filters" filters

# --- no name server
start=$(date +%s)
kill $lists; wait $lists 2>/dev/null
outage() {
    local n began
    for n in 1 2 3 4 5; do
        began=$(now)
        says "8.8.4.$n" "u@outage$n.example" 250 "" || return 1
        echo "mail $n: $(since "$began") ms" >>$work/outage
    done
    # From the breaker on nobody waits.
    began=$(now)
    for n in 6 7 8 9 10; do says "8.8.4.$n" "u@outage$n.example" 250 "" || return 1; done
    took=$(since "$began"); echo "five mails then: $took ms" >>$work/outage
}
check "without a name server mail comes in" outage
sed 's/^/measured: /' $work/outage
resting() { gatepost status | grep -qE '^zen +resting'; }
check "gatepost status says so" await 10 resting
check "with what to do" grep -q 'to do:' <(gatepost status)
check "systemctl status says so" await 10 sh -c '! systemctl show -P StatusText gatepost.service | grep -q "zen ok"'
echo "measured: STATUS=$(systemd_status)"
check "the log says so" logged "$start" "is not asked for"
doctor_tells() { gatepost doctor --offline >$work/doctor; [ $? -eq 2 ] && grep -qE '^wrong +running +zen' $work/doctor || { cat $work/doctor; return 1; }; }
check "gatepost doctor says so" doctor_tells
began=$(now)
(cd $work/zones && exec rbldnsd -n -f -u rbldns -w $work/zones -b 127.0.0.1/53 \
    "$key.zen.dq.spamhaus.net:ip4set:zen4" "$key.zen.dq.spamhaus.net:ip6trie:zen6" \
    "$key.dbl.dq.spamhaus.net:dnset:dbl" "$key.zrd.dq.spamhaus.net:dnset:zrd") >$work/rbldnsd.out 2>&1 &
lists=$!
# Not an address that is still remembered. A name server that gives no answer is asked every second.
check "the name server is back: lists are asked again, by itself" await 5 says 8.8.2.3 u@clean.example 554 "blocked by Spamhaus CSS"
echo "measured: $(since "$began") ms until it filters again"
check "systemctl status says so" await 10 sh -c 'systemctl show -P StatusText gatepost.service | grep -q "zen ok, dbl ok, zrd ok"'
check "gatepost doctor has nothing to say of lists any more" none_of -E '^(wrong|warning) +running +(zen|dbl|zrd)' <(gatepost doctor --offline)

# --- no journal, or one that takes nothing
start=$(date +%s)
pid=$(main_pid)
printf '[log]\nlevel = "debug"\n' >/etc/gatepost/gatepost.toml.d/test.toml
systemctl restart gatepost
pid=$(main_pid)
journald() { systemctl show -P MainPID systemd-journald.service; }
flood() {
    timeout 60 python3 /tests/inside/mail.py load 10 60 0 >$work/flood 2>$work/flood-errors || { cat $work/flood $work/flood-errors; return 1; }
    [ "$(count $work/flood wrong)" -eq 0 ] && [ "$(count $work/flood 550)" -eq 300 ] || { cat $work/flood; return 1; }
}
journal=$(journald)
kill -STOP "$journal"
check "the journal is stuck (SIGSTOP): 600 mails get their verdicts" flood
echo "measured: $(cat $work/flood)"
kill -CONT "$journal"
check "it is the same process" test "$(main_pid)" = "$pid"
verdicts() { [ "$(journalctl -t gatepost -o cat --since "@$start" GATEPOST_EVENT=verdict GATEPOST_ACTION=reject | wc -l)" -ge 300 ]; }
check "and no line was lost: all came when it went on" await 20 verdicts
check "none are said to be lost" grep -q '"lost":0' <(gatepost status --json)

stop_journal() {
    systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald.service 2>/dev/null
    ! active systemd-journald.service
}
check "the journal is stopped" stop_journal
check "600 mails get their verdicts" flood
restart() { systemctl restart gatepost.service; }
check "the service starts without it" restart
check "and filters" filters
systemctl start systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service
systemctl restart gatepost.service

# --- no room on the disk of the journal
full() {
    local place=/run/log/journal
    mkdir -p $place
    mount -t tmpfs -o size=4m tmpfs $place && systemctl restart systemd-journald.service
    dd if=/dev/zero of=$place/filler bs=64k 2>/dev/null
    [ "$(df --output=avail $place | tail -n 1)" -eq 0 ] || { df $place; return 1; }
    flood
}
pid=$(main_pid)
check "the disk is full: 600 mails get their verdicts" full
check "it is the same process" test "$(main_pid)" = "$pid"
rm -f /run/log/journal/filler
systemctl restart systemd-journald.service
rm /etc/gatepost/gatepost.toml.d/test.toml
systemctl restart gatepost.service

# --- bad input, by an administrator or somebody else
said() { "$@" >$work/said 2>&1; echo $? >$work/status; }
for words in status reload drain "cache flush"; do
    # shellcheck disable=SC2086
    said nobody gatepost $words
    check "another user may not ($words)" test "$(cat $work/status)" -eq 77
done
one_line() { [ "$(wc -l <$work/said)" -eq 1 ] && grep -q gatepost-admin $work/said; }
check "and hears what to do, in one line" one_line

start=$(date +%s)
pid=$(main_pid)
chmod 000 /etc/gatepost/gatepost.toml
chown root:root /etc/gatepost/gatepost.toml
refuses() { ! systemctl reload gatepost.service 2>$work/reload; }
check "unreadable since the start: systemctl reload fails" refuses
check "unreadable since the start: systemctl status says that the reload failed" \
    await 5 sh -c 'systemctl show -P StatusText gatepost.service | grep -q "last reload failed"'
check "the log has the file and the remedy" logged "$start" 'the configuration in force stays'
named() { journalctl -t gatepost -o json --since "@$start" | grep 'GATEPOST_PROBLEM.*gatepost.toml.*chmod\|GATEPOST_PROBLEM.*gatepost.toml.*chgrp\|GATEPOST_PROBLEM.*gatepost.toml.*chown' >/dev/null; }
check "with its name" named
check "gatepost status says so" grep -q 'FAILED' <(gatepost status)
said gatepost reload
check "gatepost reload fails with status 78" test "$(cat $work/status)" -eq 78
check "and names the file" grep -q '/etc/gatepost/gatepost.toml' $work/said
check "the process is the same" test "$(main_pid)" = "$pid"
check "and filters as before" filters
doctor_reload() { gatepost doctor --offline >$work/doctor; grep -qE '^wrong +running +the last reload failed' $work/doctor || { cat $work/doctor; return 1; }; }
check "gatepost doctor says so" doctor_reload
chmod 644 /etc/gatepost/gatepost.toml
check "readable again: gatepost reload" gatepost reload
check "and all is well" grep -q 'in force' <(gatepost status)

for kind in truncated unsealed garbage; do
    start=$(date +%s); pid=$(main_pid)
    # The connection may be gone: systemd lets go of those that nobody holds at the other end.
    forge() { python3 /tests/inside/store.py gatepost.service "$kind" && [ "$(systemctl show -P NFileDescriptorStore gatepost.service)" -ge 1 ]; }
    check "what a process left behind is forged ($kind)" forge
    kill -KILL "$pid"
    check "it starts" await 5 runs_as_another_than "$pid"
    told() { [ "$(journalctl -t gatepost -o cat GATEPOST_EVENT=handover _PID="$(main_pid)" | wc -l)" -eq 1 ]; }
    check "one line tells it" await 5 told
    check "the store is empty" test "$(systemctl show -P NFileDescriptorStore gatepost.service)" -eq 0
    check "and it filters" filters
done

start=$(date +%s)
: >/etc/credstore/gatepost.dqs-key-plain
mkdir -p $work/kept; mv /etc/credstore.encrypted/gatepost.dqs-key $work/kept/ 2>/dev/null
said systemctl restart gatepost.service
check "a credential of zero octets: it does not start" test "$(cat $work/status)" -ne 0
why() { journalctl --sync; journalctl -u gatepost -o cat --since "@$start" >$work/why; grep -E 'credential.*dqs-key-plain.*empty|dqs-key-plain.*(empty|no key)' $work/why || { cat $work/why; return 1; }; }
check "and says why, with the remedy" why
check "the sockets stay" active gatepost.socket
check "and mail comes in" says 8.8.3.4 u@clean.example 250 ""
rm /etc/credstore/gatepost.dqs-key-plain; mv $work/kept/gatepost.dqs-key /etc/credstore.encrypted/ 2>/dev/null
[ -e /etc/credstore.encrypted/gatepost.dqs-key ] || gatepost key set <<<"$key" >/dev/null
check "corrected, it comes back by itself" await 10 filters

start=$(date +%s)
printf '[Service]\nExecStart=\nExecStart=/usr/sbin/gatepost run --user no-such-account\nUser=root\n' >$units.service.d/70-user.conf
systemctl daemon-reload
said systemctl restart gatepost.service
check "an unknown --user: it does not start" test "$(cat $work/status)" -ne 0
check "and names it" await 5 sh -c "journalctl -u gatepost -o cat --since @$start | grep -q no-such-account"
rm $units.service.d/70-user.conf
systemctl daemon-reload
check "corrected, it comes back by itself" await 10 filters

start=$(date +%s)
printf '[Socket]\nFileDescriptorName=web\n' >$units.socket.d/70-name.conf
systemctl daemon-reload
systemctl stop gatepost.service; systemctl restart gatepost.socket
said systemctl start gatepost.service
check "a socket unit with a wrong name: it does not start" test "$(cat $work/status)" -ne 0
check "and says which name is right" await 5 sh -c "journalctl -u gatepost -o cat --since @$start | grep -q 'FileDescriptorName=milter'"
rm $units.socket.d/70-name.conf
systemctl daemon-reload
systemctl stop gatepost.service; systemctl restart gatepost.socket
check "corrected, it starts" systemctl restart gatepost.service
check "and filters" filters

mv /etc/resolv.conf $work/kept/
check "without /etc/resolv.conf it starts" systemctl restart gatepost.service
check "and filters: it needs none" filters
mv $work/kept/resolv.conf /etc/

check "nobody was told to come again in all that time" test "$(deferred)" -eq 0
check "it never panicked" none_of -rE 'event=panic|panicked' <(journalctl -t gatepost -o cat)
check "no unit is left in a failed state" test -z "$(systemctl list-units --state=failed --no-legend 'gatepost*')"
cp /var/log/mail.log /outside/mail.log
exit 0
