#!/bin/bash
# gatepost behind a real Postfix: private configuration, queue and data, no chroot, a smtp-sink behind it.
# shellcheck disable=SC1091
source "$(dirname "$0")/lib.sh"
source "$here/dns.sh"

# One smtpd for each way to the filter: TCP, Unix socket, and older versions of the protocol.
tcp=2525 unix=2526 version2=2527 version3=2528 version4=2529 sink=2600
load_clean=8.8.3.200 load_listed=8.8.2.3

make_postfix() {
    local dir=$work/postfix
    mkdir -p "$dir"/{etc,queue,data} "$work/log/mail" "$work/sink"
    chmod 755 "$dir" "$dir/etc"
    chown postfix "$dir/data" "$work/sink"
    cat >"$dir/etc/main.cf" <<C
compatibility_level = 3.6
queue_directory = $dir/queue
data_directory = $dir/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = $work/log/mail/maillog
maillog_file_prefixes = $work
myhostname = mx.test.example
mydestination =
local_recipient_maps =
relay_domains = example.org
mynetworks = 127.0.0.0/8
inet_interfaces = all
inet_protocols = all
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
relayhost = [127.0.0.1]:$sink
smtpd_relay_restrictions = reject_unauth_destination
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_error_sleep_time = 0
smtpd_milters = inet:127.0.0.1:11332
non_smtpd_milters = inet:127.0.0.1:11332
milter_protocol = 6
milter_default_action = tempfail
milter_connect_timeout = 5s
C
    cat >"$dir/etc/master.cf" <<C
127.0.0.1:$tcp inet n - n - - smtpd
127.0.0.1:$unix inet n - n - - smtpd -o smtpd_milters=unix:$work/run/milter.sock
127.0.0.1:$version2 inet n - n - - smtpd -o milter_protocol=2
127.0.0.1:$version3 inet n - n - - smtpd -o milter_protocol=3
127.0.0.1:$version4 inet n - n - - smtpd -o milter_protocol=4
$load_clean:$tcp inet n - n - - smtpd
$load_listed:$tcp inet n - n - - smtpd
postlog   unix-dgram n - n - 1 postlogd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
tlsmgr    unix - - n 1000? 1 tlsmgr
C
    # A client may have any local address; a connection to such an address also comes from it.
    ip addr add $load_clean/32 dev lo
    ip addr add $load_listed/32 dev lo
    smtp-sink -u postfix -d "$work/sink/%H%M%S." 127.0.0.1:$sink 1000 >"$work/sink.out" 2>&1 &
    postfix -c "$dir/etc" start >"$work/log/postfix-start.txt" 2>&1 || die "Postfix starts" "$(cat "$work/log/postfix-start.txt")"
    await 10 listens $sink || die "smtp-sink listens" "$(cat "$work/sink.out")"
    await 10 listens $tcp || die "Postfix listens" "$(cat "$work/log/mail/maillog")"
}

in_sink() { grep -rqF -- "$1" "$work/sink"; }
sunk() { grep -rlF -- "$1" "$work/sink" | wc -l; }

# Mail that comes by sendmail(1) shows localhost as its client: nothing is judged or asked.
local_submission() {
    local before after asked
    before=$(stat -c %s "$gatepost_log")
    asked=$(stat -c %s "$work/queries/5353")
    printf 'Subject: local\n\nlocal-submission\n' |
        sendmail -C "$work/postfix/etc" -f u@spam.example u@example.org || return 1
    await 15 in_sink local-submission || { echo "never delivered"; return 1; }
    after=$(tail -c +$((before + 1)) "$gatepost_log" | grep -E 'event=verdict .*action=(reject|tempfail)')
    [ -z "$after" ] || { echo "$after"; return 1; }
    none_of -F spam.example <(tail -c +$((asked + 1)) "$work/queries/5353")
}

# swaks_says STATUS TEXT ARGUMENT...: swaks ends with this status and has seen this text.
swaks_says() {
    local wanted=$1 text=$2 status out; shift 2
    out=$(swaks --server 127.0.0.1 --port $tcp --ehlo mail.clean.example --to u@example.org "$@" 2>&1)
    status=$?
    printf '%s\n' "$out" >>"$work/log/swaks.txt"
    [ $status -eq "$wanted" ] && grep -qF -- "$text" <<<"$out" || { echo "status $status"; echo "$out"; return 1; }
}

# load ADDRESS MARK: 200 mails over 20 sessions at once.
load() { smtp-source -s 20 -m 200 -l 2000 -f "u@clean.example" -t u@example.org -S "$2" -M mail.clean.example "$1:$tcp"; }

load_is_delivered() {
    load $load_clean load-clean || return 1
    delivered() { [ "$(sunk load-clean)" -eq 200 ]; }
    await 30 delivered || { echo "$(sunk load-clean) of 200 delivered"; return 1; }
}

load_is_refused() {
    local out
    out=$(load $load_listed load-listed 2>&1)
    grep -q 'blocked by Spamhaus CSS' <<<"$out" || { echo "$out" | head -5; return 1; }
    [ "$(sunk load-listed)" -eq 0 ] || { echo "$(sunk load-listed) delivered"; return 1; }
}

start_dns
make_postfix
for file in "$here"/dialogues/*.txt; do play postfix $tcp "$work/sink" "$file"; done
for file in connect helo mail rcpt drain; do play postfix $unix "$work/sink" "$here/dialogues/$file.txt"; done
for port in $version2 $version3 $version4; do
    for file in connect mail rcpt; do play postfix $port "$work/sink" "$here/dialogues/$file.txt"; done
done

start_gatepost clients ENFORCE_STAGE=mail
check "swaks: a clean mail is accepted" \
    swaks_says 0 "queued as" --from u@clean.example --xclient "ADDR=8.8.3.1 NAME=[UNAVAILABLE]"
check "swaks: a listed client is refused" \
    swaks_says 23 "<** 554 5.7.1 Client host [8.8.2.2] blocked by Spamhaus SBL" --from u@clean.example --xclient "ADDR=8.8.2.2 NAME=[UNAVAILABLE]"
check "swaks: a listed sender is refused" \
    swaks_says 23 "<** 550 5.7.1 Sender domain spam.example blocked" --from u@spam.example --xclient "ADDR=8.8.3.1 NAME=[UNAVAILABLE]"
check "mail by sendmail(1) is not judged" local_submission
check "200 mails over 20 sessions at once are delivered" load_is_delivered
check "200 mails of a listed client are refused" load_is_refused
stop_gatepost clients

check "Postfix found nothing wrong with the filter" \
    none_of -nE "unreasonable|premature|bogus|read size|error state|can't read|warning: milter|milter .*(refused|unexpected|protocol)|bad command" "$work/log/mail/maillog"
check "no process of Postfix failed" none_of -nE "(fatal|panic|error): " "$work/log/mail/maillog"
hunt_for_key
postfix -c "$work/postfix/etc" stop >/dev/null 2>&1
exit 0
