#!/bin/bash
# The library's example filter `every_action` does each thing a milter can do, told by the sender's local
# part: first against OpenDKIM's miltertest, then behind Postfix, where the changes must show in the mail.  Then
# gatepost itself with rules and lists that do everything a rule can do, which is what policies/ is about.
source "$(dirname "$0")/lib.sh"
source "$here/dns.sh"
source "$here/postfix-server.sh"

example=$target/release/examples/every_action
[ -x "$example" ] || die "the example every_action is built" "$example is missing"

# mail_from LOCAL-PART: a mail through Postfix and the example; prints the SMTP conversation.
mail_from() {
    swaks --server 127.0.0.1 --port $actions --ehlo "${2:-client.example}" --from "$1@example.com" --to u@example.org \
        --header "Subject: test" --header "X-Case: $1" --body "The body." 2>&1 | tee -a "$work/log/swaks.txt"
}

# client_hears LOCAL-PART TEXT [HELO]
client_hears() {
    local out
    out=$(mail_from "$1" "${3:-}")
    grep -qF -- "$2" <<<"$out" || { echo "not heard: $2"; grep '^<' <<<"$out"; return 1; }
}

# arrives LOCAL-PART PATTERN: the mail in the sink has a line like this.
arrives() {
    local file
    client_hears "$1" "250 2.0.0 Ok: queued" || return 1
    await 15 in_sink "X-Case: $1" || { echo "never delivered"; return 1; }
    file=$(grep -rlF -- "X-Case: $1" "$work/sink" | head -1)
    grep -qE -- "$2" "$file" || { echo "no line like $2 in:"; cat "$file"; return 1; }
}

arrives_without() {
    arrives "$1" "^X-Case:" || return 1
    none_of -E -- "$2" "$(grep -rlF -- "X-Case: $1" "$work/sink" | head -1)"
}

on_hold() {
    client_hears "$1" "250 2.0.0 Ok: queued" || return 1
    held() { [ -n "$(find "$work/postfix/queue/hold" -type f)" ]; }
    await 10 held || { echo "nothing in the hold queue"; return 1; }
    ! in_sink "X-Case: $1"
}

# A later mail (whose sender asks for nothing) has been delivered, this one not.
discarded() {
    client_hears "$1" "250" || return 1
    arrives "after-$1" "^X-Case: after-$1" || return 1
    ! in_sink "X-Case: $1"
}

"$example" inet:11333@127.0.0.1 >"$work/log/every_action.txt" 2>&1 &
await 10 listens 11333 || die "every_action listens" "$(cat "$work/log/every_action.txt")"

miltertest -s "$here/miltertest/actions.lua" -D "suite=$suite: miltertest" -D socket=inet:11333@127.0.0.1 \
    -D log= -D "dir=$here/miltertest" 2>&1 || fail "miltertest ran to the end"

make_postfix
check "Postfix: a header is added" arrives eom-addheader '^X-Action: added$'
check "Postfix: a header is inserted" arrives eom-insheader '^X-Action: inserted$'
check "Postfix: a header is changed" arrives eom-chgheader '^Subject: changed$'
check "Postfix: a header is deleted" arrives_without eom-delheader '^Subject:'
check "Postfix: a recipient is added" arrives eom-addrcpt '^X-Rcpt-Args: <added@example.org>'
check "Postfix: the sender is changed" arrives eom-chgfrom '^X-Mail-Args: <changed@example.org>'
check "Postfix: the body is replaced" arrives eom-replbody '^replaced$'
check "Postfix: the old body is gone" none_of -rlE "^The body" "$(grep -rlF 'X-Case: eom-replbody' "$work/sink" | head -1)"
check "Postfix: the mail is held" on_hold eom-quarantine
check "Postfix: a deleted recipient gets nothing" discarded eom-delrcpt
check "Postfix: a discarded mail goes nowhere" discarded eom-discard
check "Postfix: a mail discarded at MAIL goes nowhere" discarded mail-discard
check "Postfix: a skipped body arrives whole" arrives body-skip '^The body\.'
check "Postfix: a mail accepted at MAIL arrives" arrives mail-accept '^The body\.'
check "Postfix: a mail accepted at RCPT arrives" arrives rcpt-accept '^The body\.'
check "Postfix: two lines of reply" client_hears eom-reply '550-5.7.1 first line'
check "Postfix: two lines of reply, the last" client_hears eom-reply '550 5.7.1 second line'
for event in eom mail rcpt data header eoh body; do
    check "Postfix: refused at $event" client_hears $event-reject '550 5.7.1 Command rejected'
done
for event in eom mail rcpt data; do
    check "Postfix: put off at $event" client_hears $event-tempfail '451 4.7.1'
done
check "Postfix: refused at HELO" client_hears nothing '550 5.7.1 Command rejected' helo-reject.example
check "Postfix: put off at HELO" client_hears nothing '451 4.7.1' helo-tempfail.example
check "Postfix: a reply of its own at MAIL" client_hears mail-reply '550 5.7.1'

start_dns
for file in "$here"/policies/*.txt; do play postfix $tcp "$work/sink" "$file"; done

# What other programs make of such lines: as the journal has them, without their fields.
extras=$here/../../etc
messages() { sed -nE 's/^[^ ]+ INFO event=(verdict|summary) .* message="(.*)"$/\2/p' "$work"/log/gatepost-{actions,observe}-*.log; }
short() { messages | sed 's/^/Nov 26 13:20:22 mx gatepost[350]: /'; }
check "logcheck has no word about what rules do" none_of -vEf "$extras/logcheck/ignore" <(short)
messages | awk -f "$extras/logwatch/gatepost" >"$work/log/logwatch.txt"
for line in "reject +client +Own list" "tempfail +client +Own list" "quarantine +client +Own list" "discard +client +Own list" \
    "tag +sender +DBL" "reject +rule +score" "would-reject +client +Own list" "would-tag +sender +DBL" "reject +client +AuthBL"; do
    check "logwatch counts: $line" grep -qE "^ +[0-9]+  $line\$" "$work/log/logwatch.txt"
done
check "logwatch counts sessions" grep -qE "^[1-9][0-9]+ sessions, [1-9][0-9]* messages$" "$work/log/logwatch.txt"
check "logwatch knows every line" none_of "Other lines" "$work/log/logwatch.txt"
bans() {
    messages | python3 -c '
import re, sys
rule = next(line for line in open(sys.argv[1]) if line.startswith("failregex"))
rule = re.compile(rule.split("=", 1)[1].strip().replace("<ADDR>", r"(?P<ip>[0-9a-f.:]+)"))
found = {match["ip"] for match in map(rule.search, sys.stdin.read().splitlines()) if match}
sys.exit(found != {"8.8.2.2", "8.8.2.54", "8.8.2.120"} and f"found {found}")' "$extras/fail2ban/filter.conf"
}
check "fail2ban finds who is refused for a list, and nobody else" bans

check "Postfix found nothing wrong with the filter" \
    none_of -nE "unreasonable|premature|bogus|read size|error state|can't read|warning: milter|bad command" "$work/log/mail/maillog"
check "no process of Postfix failed" none_of -nE "(fatal|panic|error): " "$work/log/mail/maillog"
hunt_for_key
postfix -c "$work/postfix/etc" stop >/dev/null 2>&1
exit 0
