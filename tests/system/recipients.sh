#!/bin/bash
# Recipient policies behind a real Postfix: who may write to whom, and member files that change under load. The
# conversations of policies/recipients.txt are played with Sendmail, too, by its own suite.
source "$(dirname "$0")/lib.sh"
source "$here/dns.sh"
source "$here/postfix-server.sh"

members=$work/members

# put_members ADDRESS...: as careful programs do.
put_members() {
    printf '%s\n' "# members" "$@" >"$members.new"
    chmod 644 "$members.new"
    mv "$members.new" "$members"
}

# hears SENDER RECIPIENT REPLY: what RCPT says.
hears() {
    local out
    out=$(swaks --server 127.0.0.1 --port $tcp --ehlo mail.clean.example --xclient "ADDR=8.8.3.1 NAME=[UNAVAILABLE]" \
        --from "$1" --to "$2" --quit-after RCPT 2>&1)
    printf '%s\n' "$out" >>"$work/log/swaks.txt"
    grep -qF -- "$3" <<<"$out"
}

# heard SENDER RECIPIENT REPLY: the same, within the time that the watcher needs.
heard() { await 10 hears "$@" || { tail -12 "$work/log/swaks.txt"; return 1; }; }

# The load goes on while the file changes: no session may be lost, and none of it is about the list.
changes_under_load() {
    local status
    smtp-source -s 10 -m 600 -l 500 -f u@clean.example -t u@example.org -S member-load -M mail.clean.example "$load_clean:$tcp" \
        >"$work/log/smtp-source.txt" 2>&1 &
    local load=$! round
    for round in 1 2 3; do
        put_members alice@clean.example "member-$round@clean.example"
        heard "member-$round@clean.example" list@example.org "250 2.1.5" || return 1
        put_members alice@clean.example
        heard "member-$round@clean.example" list@example.org "550 5.7.1 members only" || return 1
        hears alice@clean.example list@example.org "250 2.1.5" || { echo "alice is refused"; return 1; }
    done
    wait $load; status=$?
    [ $status -eq 0 ] || { cat "$work/log/smtp-source.txt"; return 1; }
    delivered() { [ "$(sunk member-load)" -eq 600 ]; }
    await 30 delivered || { echo "$(sunk member-load) of 600 delivered"; return 1; }
}

# A mail server keeps in its queue what a filter refuses of its own mail: so it is let in, and told of.
local_mail_is_let_in() {
    printf 'Subject: local\n\nlocal-to-the-list\n' |
        sendmail -C "$work/postfix/etc" -f mallory@clean.example list@example.org || return 1
    await 15 in_sink local-to-the-list || { echo "never delivered"; return 1; }
    grep -q 'action=log .*rule=recipient-list .*let in' "$gatepost_log" || { echo "not told of"; return 1; }
}

# reads PORT RECIPIENT: what RCPT hears there.
reads() {
    swaks --server 127.0.0.1 --port "$1" --ehlo mail.clean.example --xclient "ADDR=8.8.3.1 NAME=[UNAVAILABLE]" \
        --from mallory@clean.example --to "$2" --quit-after RCPT 2>&1 | tee -a "$work/log/swaks.txt" |
        sed -n '/RCPT TO/,$ { s/^<[-~*]*[* ]*//; /^[245][0-9][0-9] /{p;q} }'
}

# spelling RECIPIENT: Postfix takes it for list, which is its own, and gatepost refuses it; and if there is no list,
# Postfix has nobody of this name: it is this name that it looked for.
spelling() {
    local out
    out=$(reads $actions "$1"); [[ $out == 250* ]] || { echo "Postfix alone: $out"; return 1; }
    out=$(reads $version4 "$1"); [[ $out == "550 5.1.1"* ]] || { echo "Postfix without list: $out"; return 1; }
    out=$(reads $tcp "$1"); [[ $out == "550 5.7.1 members only"* ]] || { echo "gatepost: $out"; return 1; }
}

start_dns
make_postfix
play postfix $tcp "$work/sink" "$here/policies/recipients.txt"

cat >"$work/recipients.toml" <<T
[[recipient]]
name = "list"
recipients = ["list@example.org"]
senders = ["file:$members"]
reply = "550 5.7.1 members only"
T
toml=$work/recipients.toml start_gatepost members ENFORCE_STAGE=mail
check "a member file that is missing at the start defers" heard alice@clean.example list@example.org "451 4.7.1 Who may write to"
check "the log says so" grep -qE 'event=config.*members.*cannot be read' "$gatepost_log"
put_members alice@clean.example
check "a member file that appears is honoured" heard alice@clean.example list@example.org "250 2.1.5"
check "a stranger is refused" heard mallory@clean.example list@example.org "550 5.7.1 members only"
check "a member file that changes under load is honoured, and no mail is lost" changes_under_load
check "mail by sendmail(1) to a protected recipient is let in" local_mail_is_let_in
put_members
check "nobody is a member of an empty list" heard alice@clean.example list@example.org "550 5.7.1 members only"
rm "$members"
check "a member file that goes defers" heard alice@clean.example list@example.org "451 4.7.1 Who may write to"
check "the log says that, too" grep -qE 'event=source.*cannot be used' "$gatepost_log"
check "other recipients do not notice" heard mallory@clean.example u@example.org "250 2.1.5"
stop_gatepost members

# What Postfix makes of strange addresses: here list is an account of its own. Two ports ask no filter, and one of them
# knows no list.
postconf -c "$work/postfix/etc" mydestination=mx.test.example 'local_recipient_maps=inline:{list=x}'
postconf -c "$work/postfix/etc" -P "127.0.0.1:$actions/inet/smtpd_milters=" "127.0.0.1:$version4/inet/smtpd_milters=" \
    "127.0.0.1:$version4/inet/local_recipient_maps=inline:{nobody=x}"
postfix -c "$work/postfix/etc" reload >/dev/null 2>&1
sed -e 's/list@example.org/list@mx.test.example/' "$work/recipients.toml" >"$work/spellings.toml"
put_members alice@clean.example
toml=$work/spellings.toml start_gatepost spellings ENFORCE_STAGE=mail
for recipient in list '<> list' '%list:list' ';%:list' 'list%mx.test.example' '@mx.test.example:list' '>list' \
    'mx.test.example!list' 'group:list;' '"%x:list"@mx.test.example'; do
    check "<$recipient> reaches no protected list" spelling "$recipient"
done
stop_gatepost spellings

check "no process of Postfix failed" none_of -nE "(fatal|panic|error): " "$work/log/mail/maillog"
hunt_for_key
postfix -c "$work/postfix/etc" stop >/dev/null 2>&1
exit 0
