#!/bin/bash
# gatepost behind a real Postfix.
source "$(dirname "$0")/lib.sh"
source "$here/dns.sh"
source "$here/postfix-server.sh"

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
