# What the scripts inside a booted container share: a name server, the Postfix of the distribution, mail.
# shellcheck shell=bash
set -uo pipefail
suite="$(basename "$0" .sh) on $(. /etc/os-release && echo "$VERSION_CODENAME")"
work=/root/work
mkdir -p $work
# shellcheck source=tests/system/verdicts.sh
source /tests/verdicts.sh
key=k3y7q2xw9vbn4mz8lp5tr6hs1d
packages=/packages

# The lists on port 53 of loopback, as the host's own resolver would give them.
start_lists() {
    local zen=zen.dq.spamhaus.net dbl=dbl.dq.spamhaus.net zrd=zrd.dq.spamhaus.net
    systemctl stop rbldnsd.socket rbldnsd.service
    ip link set lo up
    cp -r /tests/zones $work/zones
    chmod -R a+rX /root $work
    (cd $work/zones && exec rbldnsd -n -f -u rbldns -w $work/zones -b 127.0.0.1/53 \
        "$key.$zen:ip4set:zen4" "$key.$zen:ip6trie:zen6" "$key.$dbl:dnset:dbl" "$key.$zrd:dnset:zrd") \
        >$work/rbldnsd.out 2>&1 &
    await 10 answers || die "rbldnsd answers" "$(cat $work/rbldnsd.out)"
}

answers() { python3 /tests/inside/mail.py resolve "2.0.0.127.$key.zen.dq.spamhaus.net" | grep -qxF 127.0.0.2; }

# Postfix as Debian ships it, smtpd in its chroot; clients may say who they are, so that one of them is listed.
start_postfix() {
    grep -qE '^smtp +inet +n +- +y ' /etc/postfix/master.cf || die "Debian's smtpd is chrooted"
    postconf -e 'smtpd_authorized_xclient_hosts = 127.0.0.0/8' 'local_transport = discard:' 'smtpd_peername_lookup = no' \
        'smtpd_client_connection_count_limit = 0' 'smtpd_client_connection_rate_limit = 0' \
        'smtpd_soft_error_limit = 100000' 'smtpd_hard_error_limit = 100000' 'smtpd_error_sleep_time = 0'
    systemctl start postfix.service
    await 20 listens 25 || die "Postfix listens" "$(journalctl -u 'postfix*' -n 20 --no-pager)"
}

# says CLIENT SENDER CODE TEXT: what becomes of a mail.
says() {
    local out; out=$(python3 /tests/inside/mail.py send "$1" "$2" 2>&1)
    [[ $out == $3\ * && $out == *$4* ]] || { echo "$out"; return 1; }
}

# passed N: until so many more mails of a load are judged, whose errors go to $work/load-errors.
passed() {
    local goal=$(($(judged) + $1))
    reached() { [ "$(judged)" -ge $goal ]; }
    await 60 reached
}
judged() { awk '/ mails$/ { n = $1 } END { print n + 0 }' $work/load-errors; }

active() { systemctl is-active --quiet "$@"; }
main_pid() { systemctl show -P MainPID gatepost.service; }
inode() { stat -c %i "$1"; }
empty() { [ ! -s "$1" ] || { cat "$1"; return 1; }; }
