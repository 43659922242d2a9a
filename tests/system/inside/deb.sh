#!/bin/bash
# The whole life of the .deb on a Debian with Postfix: install, five commands, restart, upgrade, a broken
# configuration, removal, purge.
source /tests/inside/lib.sh

listing() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/tmp -o -path /outside -o -path /tests -o -path /root/work \) -prune -o -print |
        grep -vE '^/(var/(log|lib/(dpkg|apt|systemd|postfix)|cache|spool/postfix/(active|incoming|maildrop|deferred|bounce|defer|pid|public|private|corrupt|hold|flush|trace|saved)|mail|backups)|run)/|^/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|^/etc/\.pwd\.lock$' | sort
}
accounts() { cut -d: -f1 /etc/passwd /etc/group | sort; }

start_lists
start_postfix
listing >$work/before; accounts >$work/accounts

# The five commands of the README.
old=$(echo $packages/gatepost_*-1_*.deb) new=$(echo $packages/gatepost_*-2_*.deb)
check "apt install" apt-get install -y "$old"
check "the sockets listen before anything is configured" active gatepost.socket gatepost-control.socket gatepost-metrics.socket
check "the service runs without a key" active gatepost.service
keyless() { grep -q 'there is no DQS key' <(journalctl -t gatepost); }
check "it says that it has no key" await 5 keyless
explained() { grep -q 'gatepost key set' <(journalctl -x -t gatepost MESSAGE_ID=b98b766fe6434901a7fa6eeafd94daed); }
check "and journalctl -x what to do about it" await 5 explained
pid=$(main_pid)
check "gatepost key set" gatepost key set <<<"$key"
check "which puts it into force" test "$(main_pid)" != "$pid"
advised() { grep -q 'gatepost mta postfix --apply' <(gatepost doctor); }
check "gatepost doctor says what is missing" advised
check "gatepost mta postfix --apply" gatepost mta postfix --apply
refused() { grep -q 'refused at MAIL: 550' <(gatepost explain --client 192.0.2.1 --helo dbltest.com --from a@example.org); }
check "gatepost explain refuses the test entry of DBL" refused
doctor() { gatepost doctor || [ $? -eq 1 ]; }
check "gatepost doctor finds no failure" doctor

check "clean mail comes in" says 8.8.3.1 u@clean.example 250 ""
check "a listed client is refused" says 8.8.2.2 u@clean.example 554 "blocked by Spamhaus SBL"
check "a listed sender is refused" says 8.8.3.1 u@spam.example 550 "Sender domain spam.example blocked"

# The cookbook: as it stands there, with its lists where it says, and in force beside the package's own configuration.
cookbook=/usr/share/doc/gatepost/examples/policies
echo "$key" >/etc/gatepost/abusix.key; chgrp gatepost /etc/gatepost/abusix.key; chmod 640 /etc/gatepost/abusix.key
cp -r $cookbook/lists $cookbook/maps /etc/gatepost/
policies() {
    local one
    for one in "$cookbook"/*.toml; do SPAMHAUS_DQS_API_KEY=$key gatepost check-config --config "$one" || return 1; done
}
check "every policy of the cookbook is accepted" policies
rm -r /etc/gatepost/abusix.key /etc/gatepost/lists /etc/gatepost/maps
mkdir -p /etc/gatepost/gatepost.toml.d
cp $cookbook/observe-trial.toml /etc/gatepost/gatepost.toml.d/
check "a policy is copied and put into force" systemctl reload gatepost
check "it does what it says" says 8.8.2.2 u@clean.example 250 ""
rm -r /etc/gatepost/gatepost.toml.d
check "and is taken out again" systemctl reload gatepost

# What other programs make of the log.
journalctl --sync
lines() { journalctl -t gatepost -o "$1" | grep 'reject at '; }
check "logcheck has no word about refused mail" none_of -vEf /etc/logcheck/ignore.d.server/gatepost <(lines short)
check "logwatch counts it" grep -E '^ +1  reject +sender +DBL$' <(lines cat | awk -f /usr/share/logwatch/scripts/services/gatepost)
# A line of somebody else's under our name.
runuser -u nobody -- logger -t gatepost 'reject at mail: client 8.8.9.9 listed (SBL)'
journalctl --sync
forged() { journalctl -t gatepost -o cat | grep -F 8.8.9.9 >/dev/null; }
check "anybody can write under the name of gatepost" await 5 forged
read -ra match < <(sed -n 's/^journalmatch = //p' /etc/fail2ban/filter.d/gatepost.conf)
bans() {
    journalctl "${match[@]}" -o cat | python3 -c '
import re, sys
rule = next(line for line in open("/etc/fail2ban/filter.d/gatepost.conf") if line.startswith("failregex"))
rule = re.compile(rule.split("=", 1)[1].strip().replace("<ADDR>", r"(?P<ip>[0-9a-f.:]+)"))
found = [match["ip"] for match in map(rule.search, sys.stdin.read().splitlines()) if match]
sys.exit(found != ["8.8.2.2"] and f"found {found}")'
}
check "fail2ban finds the client, and believes nobody else" bans

# The exporter, with its own account and sandbox.
check "the exporter starts" systemctl start gatepost-metrics-exporter.service
scrape() { python3 -c 'import urllib.request as r; print(r.urlopen("http://127.0.0.1:9119/metrics", timeout=5).read().decode())'; }
check "and tells of the daemon" grep -qx 'gatepost_up 1' <(await 5 scrape; scrape)
check "and of what it did" grep -qE '^gatepost_actions_total.*reject.* 2$' <(scrape)
check "without the key" none_of -i "$key" <(scrape)
enclosed() { journalctl --sync; journalctl -u gatepost-metrics-exporter.service -o json | grep -E 'landlock (enforced|partial)' >/dev/null; }
check "its unit lets it make its sandbox" enclosed

check "Postfix may open the socket, others may not" \
    test "$(stat -c '%U %G %a' /run/gatepost/milter.sock /var/spool/postfix/gatepost/milter.sock | uniq)" = "root postfix 660"
check "the control socket is the administrators'" \
    test "$(stat -c '%U %G %a' /run/gatepost/control.sock)" = "root gatepost-admin 660"
check "the metrics socket is the exporter's" \
    test "$(stat -c '%U %G %a' /run/gatepost/metrics.sock)" = "root gatepost-exporter 660"
check "the process is gatepost's and has no capability" \
    grep -qE '^CapEff:\s+0+$' "/proc/$(main_pid)/status"
check "it runs as gatepost" test "$(stat -c %U "/proc/$(main_pid)")" = gatepost

socket=/var/spool/postfix/gatepost/milter.sock
before=$(inode $socket) pid=$(main_pid)
check "restart" systemctl restart gatepost.service
check "a restart is another process" test "$(main_pid)" != "$pid"
remembered() { journalctl --sync; journalctl -t gatepost -o cat GATEPOST_EVENT=answers _PID="$(main_pid)" | grep -x 'remembered answers go on here' >/dev/null; }
check "which knows what the lists have said" await 5 remembered
check "a restart leaves the socket" test "$(inode $socket)" = "$before"
check "and mail is filtered as before" says 8.8.2.2 u@clean.example 554 "blocked by Spamhaus SBL"
reload() {
    journalctl --sync; systemctl reload gatepost.service || return 1
    await 5 sh -c 'journalctl -t gatepost --since -10s | grep -q "new configuration is in force"'
}
check "reload" reload
# systemctl reload waits for the end of it and has the truth.
pid=$(main_pid)
sed -i 's/^stage = .*/stage = "nonsense"/' /etc/gatepost/gatepost.toml
refuses() { ! systemctl reload gatepost.service 2>$work/reload; }
check "reload of a broken configuration fails" refuses
check "systemctl status has the problem with its place" grep -q 'gatepost.toml:.*nonsense' <(systemctl status --no-pager --full gatepost.service)
check "and says that the reload failed" grep -q 'last reload failed' <(systemctl show -P StatusText gatepost.service)
check "the service goes on" active gatepost.service
check "as the same process" test "$(main_pid)" = "$pid"
sed -i 's/^stage = .*/stage = "mail"/' /etc/gatepost/gatepost.toml
check "mended, it reloads" systemctl reload gatepost.service
check "and is active again, not reloading for ever" test "$(systemctl show -P ActiveState gatepost.service)" = active

pid=$(main_pid)
check "upgrade" apt-get install -y "$new"
check "an upgrade restarts the service" test "$(main_pid)" != "$pid"
check "an upgrade leaves the socket" test "$(inode $socket)" = "$before"
check "and mail is filtered as before" says 8.8.2.2 u@clean.example 554 "blocked by Spamhaus SBL"

# Broken: whatever comes, the process that serves is kept.
pid=$(main_pid)
sed -i 's/^stage = .*/stage = "nonsense"/' /etc/gatepost/gatepost.toml
downgrade() { apt-get install -y --allow-downgrades "$old" >$work/broken 2>&1; }
check "a broken configuration does not break the upgrade" downgrade
check "it is told with its place" grep -q 'gatepost.toml:.*nonsense' $work/broken
check "the old process is kept" test "$(main_pid)" = "$pid"
check "and it filters" says 8.8.2.2 u@clean.example 554 "blocked by Spamhaus SBL"

# Root can read it, the account cannot: the new process could not start.
sed -i 's/^stage = .*/stage = "mail"/' /etc/gatepost/gatepost.toml
mkdir -p /etc/gatepost/gatepost.toml.d
(umask 077; echo 'observe = false' >/etc/gatepost/gatepost.toml.d/local.toml)
unreadable() { apt-get install -y "$new" >$work/unreadable 2>&1; }
check "a file that the account cannot read does not break the upgrade" unreadable
check "it is told with its remedy" grep -q 'local.toml: gatepost, .*; chgrp gatepost .*local.toml && chmod' $work/unreadable
check "the old process is kept, that can read what it has" test "$(main_pid)" = "$pid"
check "and it filters" says 8.8.2.2 u@clean.example 554 "blocked by Spamhaus SBL"
doctor_next() { gatepost doctor >$work/doctor; grep -qE '^wrong +account .*local.toml: the next start fails' $work/doctor || { cat $work/doctor; return 1; }; }
check "gatepost doctor says that the next start fails" doctor_next
# The unit's account counts, whatever the settings call theirs.
echo 'user = "nobody"' >/etc/gatepost/gatepost.toml.d/local.toml
chgrp nogroup /etc/gatepost/gatepost.toml.d/local.toml; chmod 640 /etc/gatepost/gatepost.toml.d/local.toml
again() { apt-get install -y --allow-downgrades "$old" >$work/unreadable 2>&1; }
check "nor does one that only the settings' account can read" again
check "it is told with its place" grep -q 'local.toml: .*permission denied' $work/unreadable
check "and the old process is kept" test "$(main_pid)" = "$pid"
rm -r /etc/gatepost/gatepost.toml.d
check "mended, the next one takes it" apt-get install -y --reinstall "$old"
check "as another process" test "$(main_pid)" != "$pid"

# The administrator restarts it nevertheless, and clients keep knocking.
sed -i 's/^stage = .*/stage = "nonsense"/' /etc/gatepost/gatepost.toml
outage() {
    systemctl restart gatepost.service && { echo "it started"; return 1; }
    for n in $(seq 40); do timeout 0.1 python3 -c 'import socket
s = socket.socket(socket.AF_UNIX); s.connect("/run/gatepost/milter.sock"); s.recv(1)'; done 2>/dev/null
    active gatepost.socket || { systemctl status gatepost.socket; return 1; }
}
check "a service that cannot start leaves the sockets" outage
sed -i 's/^stage = .*/stage = "mail"/' /etc/gatepost/gatepost.toml
check "corrected, it comes back by itself" await 5 active gatepost.service
check "and filters" says 8.8.2.2 u@clean.example 554 "blocked by Spamhaus SBL"

kill_it() {
    local pid; pid=$(main_pid); kill -KILL "$pid"
    await 5 sh -c "systemctl is-active -q gatepost.service && [ \$(systemctl show -P MainPID gatepost.service) != $pid ]"
}
check "killed, it comes back" kill_it
often() { for n in 1 2 3 4 5 6 7 8; do systemctl restart gatepost.service || return 1; done; active gatepost.socket; }
check "eight restarts at once are no outage" often

# listen does not count, and the log says what does.
mkdir -p /etc/gatepost/gatepost.toml.d
echo 'listen = "inet:11399@127.0.0.1"' >/etc/gatepost/gatepost.toml.d/listen.toml
systemctl restart gatepost.service
advice() { journalctl --sync; journalctl -t gatepost -o cat _PID="$(main_pid)" | grep -F 'systemctl edit gatepost.socket, [Socket] ListenStream=, then systemctl restart gatepost.socket' >/dev/null; }
check "listen is not used beside the socket unit, and the log says what to do" await 5 advice
rm -r /etc/gatepost/gatepost.toml.d
printf '[Socket]\nListenStream=127.0.0.1:11399\n' >/etc/systemd/system/gatepost.socket.d/70-listen.conf
systemctl daemon-reload
check "the socket unit gets another socket" systemctl restart gatepost.socket
elsewhere() { gatepost status | grep -F 'inet:11399' >/dev/null; }
check "on which gatepost listens" await 5 elsewhere
check "and it filters" says 8.8.2.2 u@clean.example 554 "blocked by Spamhaus SBL"
rm /etc/systemd/system/gatepost.socket.d/70-listen.conf
systemctl daemon-reload; systemctl restart gatepost.socket
before=$(inode $socket)

# A choice of the administrator is kept; a mail server that comes later is noticed.
printf '[Socket]\nSocketGroup=adm\n' >/etc/systemd/system/gatepost.socket.d/50-group.conf
check "install again" apt-get install -y --reinstall "$old"
check "an administrator's group is kept" grep -qx SocketGroup=adm /etc/systemd/system/gatepost.socket.d/50-group.conf
rm /etc/systemd/system/gatepost.socket.d/50-group.conf
chgrp gatepost $socket /run/gatepost/milter.sock
trigger() { dpkg-trigger --by-package=gatepost /usr/sbin/postfix && dpkg --configure --pending; }
check "a mail server installed later is noticed" trigger
check "the open sockets change hands" test "$(stat -c %G $socket)" = postfix
check "and stay" test "$(inode $socket)" = "$before"

grep -rl "$key" /etc /usr/lib/systemd /usr/share /var/log 2>/dev/null >$work/leaks
journalctl -b | grep -F "$key" >>$work/leaks
check "the key is in no file and no log line" empty $work/leaks

without_key() { gatepost key remove && systemctl restart gatepost.service && active gatepost.service; }
check "gatepost key remove" without_key
check "without a key listed mail comes in" says 8.8.2.2 u@clean.example 250 ""

postconf -# smtpd_milters
systemctl reload postfix
preserved() {
    local version; version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
    [ "$version" -lt 254 ] || systemctl show -P FileDescriptorStorePreserve gatepost.service | grep -qx yes
}
check "where systemd can, sessions live through stop and start" preserved
check "systemd understands every line of the units" none_of -E 'Unknown (key|section)|Failed to parse' <(journalctl -b | grep gatepost)
check "remove" apt-get remove -y gatepost
check "removed: the sockets are gone" test ! -e /run/gatepost -a ! -e /var/spool/postfix/gatepost
check "removed: the configuration stays" test -e /etc/gatepost/gatepost.toml
check "install again after removal" apt-get install -y "$new"
check "and it filters at once" active gatepost.service
check "purge" apt-get purge -y gatepost
listing >$work/after; accounts >$work/accounts-after
check "purge leaves no file" diff $work/before $work/after
check "purge leaves no account" diff $work/accounts $work/accounts-after

# The Python milter's file, which is root's alone: the key in it is not thrown away by serving without.
printf 'SPAMHAUS_DQS_API_KEY=%s\n' "$key" >/etc/spamhaus-dqs-milter.env; chmod 600 /etc/spamhaus-dqs-milter.env
first() { apt-get install -y "$new" >$work/first 2>&1; }
check "a first installation beside a file that only root can read" first
check "says so, with the remedy" grep -q '^/etc/spamhaus-dqs-milter.env: gatepost, .*; chgrp gatepost ' $work/first
check "and how to go on" grep -q 'correct it, then: systemctl restart gatepost.service' $work/first
tried() { [ "$(systemctl show -P NRestarts gatepost.service)" = 0 ] && [ "$(main_pid)" = 0 ]; }
check "nothing is tried again and again" tried
chgrp gatepost /etc/spamhaus-dqs-milter.env; chmod g+rX /etc/spamhaus-dqs-milter.env
check "with the remedy it starts" systemctl restart gatepost.service
apt-get purge -y gatepost >/dev/null 2>&1; rm /etc/spamhaus-dqs-milter.env
check "no unit is left in a failed state" test -z "$(systemctl list-units --state=failed --no-legend 'gatepost*')"
exit 0
