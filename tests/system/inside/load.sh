#!/bin/bash
# Thirty SMTP sessions, 6,000 mails, six restarts and one upgrade in between: nobody notices.
source /tests/inside/lib.sh

start_lists
start_postfix
apt-get install -y $packages/gatepost_*-1_*.deb >$work/apt 2>&1 || die "apt install" "$(cat $work/apt)"
gatepost key set <<<"$key" >/dev/null && systemctl restart gatepost && gatepost mta postfix --apply >/dev/null ||
    die "gatepost is set up" "$(journalctl -u gatepost -n 20 --no-pager)"
postconf -e "$(postconf smtpd_milters | sed 's/default_action=accept/default_action=tempfail/')"
systemctl reload postfix
socket=/var/spool/postfix/gatepost/milter.sock
before=$(inode $socket)

began=$SECONDS
python3 /tests/inside/mail.py load 30 200 0.08 >$work/counts 2>$work/load-errors & load=$!
# A restart after every 300 mails: there are 6,000.
restarts() {
    local n
    for n in 1 2 3; do passed 300 || return 1; systemctl restart gatepost.service || return 1; done
    apt-get install -y $packages/gatepost_*-2_*.deb || return 1
    for n in 4 5 6; do passed 300 || return 1; systemctl restart gatepost.service || return 1; done
    kill -0 $load || { echo "the load was over before the last restart"; return 1; }
}
check "six restarts and an upgrade under load" restarts
wait $load
echo "measured: $((SECONDS - began)) s, $(cat $work/counts)"
count() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1])).get(sys.argv[2], 0))' $work/counts "$1"; }
warnings() { journalctl -b -t postfix/smtpd -t postfix/cleanup -o cat | grep -c 'warning:.*milter'; }
echo "measured: $(warnings) warnings of Postfix"
check "the socket is the same" test "$(inode $socket)" = "$before"
check "3,000 clean mails came in" test "$(count 250)" -eq 3000
check "3,000 mails of a listed sender were refused" test "$(count 550)" -eq 3000
check "nobody was told to come again" test "$(count 451)" -eq 0
check "every verdict was the right one" test "$(count wrong)" -eq 0
check "Postfix warned of nothing" test "$(warnings)" -eq 0
exit 0
