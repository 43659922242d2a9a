#!/bin/bash
# gatepost behind a real Sendmail, unpacked and private, with a smtp-sink behind it.  It knows no XCLIENT,
# so each client address of the dialogues becomes an address of this (private) machine.
source "$(dirname "$0")/lib.sh"
source "$here/dns.sh"

# `plain` knows no filter.
tcp=2525 unix=2526 plain=2527 sink=2600
sendmail=$results/unpacked

# Sendmail logs to syslog alone: a /dev of our own, in which /dev/log leads to a file.
make_syslog() {
    local device
    mkdir "$work/dev" "$work/log/mail"
    mount -t tmpfs -o mode=755 tmpfs "$work/dev"
    for device in null zero full random urandom; do
        touch "$work/dev/$device"
        mount --bind "/dev/$device" "$work/dev/$device"
    done
    ln -s /proc/self/fd "$work/dev/fd"
    mount --move "$work/dev" /dev
    python3 "$here/syslog.py" /dev/log "$work/log/mail/maillog" &
    await 5 test -S /dev/log || die "a syslog socket"
}

make_sendmail() {
    local dir=$work/sendmail cf=$sendmail/usr/share/sendmail/cf address
    mkdir -p "$dir/etc" "$dir/queue" "$work/sink"
    chmod 700 "$dir/queue"; chown nobody "$work/sink"
    cat >"$dir/etc/sendmail.mc" <<M
divert(0)dnl
define(\`_CF_DIR_', \`$cf/')dnl
OSTYPE(\`linux')dnl
define(\`confDOMAIN_NAME', \`mx.test.example')dnl
define(\`confDONT_BLAME_SENDMAIL', \`AssumeSafeChown,GroupWritableDirPathSafe,GroupWritableIncludeFile,IncludeFileInUnsafeDirPath')dnl
define(\`confPID_FILE', \`$dir/sendmail.pid')dnl
define(\`QUEUE_DIR', \`$dir/queue')dnl
define(\`STATUS_FILE', \`$dir/stat')dnl
define(\`HELP_FILE', \`/dev/null')dnl
undefine(\`ALIAS_FILE')dnl
define(\`confCW_FILE', \`/dev/null')dnl
define(\`confTO_IDENT', \`0')dnl
define(\`confDELIVERY_MODE', \`background')dnl
define(\`confREFUSE_LA', \`999')define(\`confQUEUE_LA', \`999')dnl
define(\`confLOG_LEVEL', \`14')dnl
define(\`confMILTER_LOG_LEVEL', \`14')dnl
define(\`confPRIVACY_FLAGS', \`novrfy,noexpn')dnl
define(\`SMART_HOST', \`smtp:[127.0.0.1]')dnl
define(\`SMTP_MAILER_ARGS', \`TCP \$h $sink')dnl
define(\`confDEF_USER_ID', \`nobody:nogroup')dnl
FEATURE(\`nocanonify')dnl
FEATURE(\`accept_unresolvable_domains')dnl
FEATURE(\`accept_unqualified_senders')dnl
FEATURE(\`promiscuous_relay')dnl
FEATURE(\`no_default_msa')dnl
DAEMON_OPTIONS(\`Name=tcp, Family=inet, Addr=127.0.0.1, Port=$tcp, InputMailFilters=tcp')dnl
DAEMON_OPTIONS(\`Name=tcp6, Family=inet6, Addr=::1, Port=$tcp, InputMailFilters=tcp')dnl
DAEMON_OPTIONS(\`Name=unix, Family=inet, Addr=127.0.0.1, Port=$unix, InputMailFilters=unix')dnl
DAEMON_OPTIONS(\`Name=unix6, Family=inet6, Addr=::1, Port=$unix, InputMailFilters=unix')dnl
DAEMON_OPTIONS(\`Name=plain, Family=inet, Addr=127.0.0.1, Port=$plain')dnl
MAIL_FILTER(\`tcp', \`S=inet:11332@127.0.0.1, F=T, T=C:5s;S:10s;R:10s;E:30s')dnl
MAIL_FILTER(\`unix', \`S=local:$work/run/milter.sock, F=T, T=C:5s;S:10s;R:10s;E:30s')dnl
MAILER(\`local')dnl
MAILER(\`smtp')dnl
M
    m4 -D_CF_DIR_="$cf/" -I"$cf" "$cf/m4/cf.m4" "$dir/etc/sendmail.mc" >"$dir/etc/sendmail.cf" 2>"$work/log/m4.txt" ||
        die "m4 writes sendmail.cf" "$(cat "$work/log/m4.txt")"
    for address in $(python3 "$here/smtp.py" clients "$here"/{dialogues,policies,maps}/*.txt); do
        case $address in
            *:*) ip addr add "$address/128" dev lo nodad ;;
            *) ip addr add "$address/32" dev lo ;;
        esac
    done
    smtp-sink -u nobody -d "$work/sink/%H%M%S." 127.0.0.1:$sink 1000 >"$work/sink.out" 2>&1 &
    "$sendmail/usr/libexec/sendmail/sendmail" -C"$dir/etc/sendmail.cf" -bd >"$work/log/sendmail-start.txt" 2>&1 ||
        die "Sendmail starts" "$(cat "$work/log/sendmail-start.txt")"
    await 10 listens $sink || die "smtp-sink listens" "$(cat "$work/sink.out")"
    await 20 listens $tcp || die "Sendmail listens" "$(cat "$work/log/sendmail-start.txt" "$work/log/mail/maillog")"
}

# Waits of real clients, over TCP to the filter and without one.
pace() {
    local played
    start_gatepost pace
    python3 "$here/pace.py" --suite "$suite" --filtered $tcp --plain $plain --client 8.8.3.1 2>&1 | tee "$work/log/pace.txt"
    [ "${PIPESTATUS[0]}" -le 1 ] || fail "pace.py plays to the end"
    stop_gatepost pace
    played=$(sed -n 's/^    sessions with the filter: //p' "$work/log/pace.txt")
    check "the filter was asked in $played sessions and in no other" grep -q "event=stopped .*served=$played\b" "$gatepost_log"
}

start_dns
make_syslog
make_sendmail
for file in "$here"/dialogues/*.txt; do play sendmail $tcp "$work/sink" "$file"; done
for file in "$here"/{policies,maps}/*.txt; do play sendmail $tcp "$work/sink" "$file"; done
for file in connect helo mail rcpt drain; do play sendmail $unix "$work/sink" "$here/dialogues/$file.txt"; done
pace

# "collect: premature EOM" is about the SMTP client that leaves in mid-mail, one of the dialogues.
check "Sendmail found nothing wrong with the filter" \
    none_of -nE "unreasonable|premature (reply|end)|bogus|read size|can't read|to error state|Milter.*: (timeout|write|read)|unknown reply|bad (reply|version)" "$work/log/mail/maillog"
hunt_for_key
kill "$(head -1 "$work/sendmail/sendmail.pid")"
exit 0
