#!/bin/bash
# Access maps behind a real Postfix; sendmail.sh plays the same conversations behind a real Sendmail.
source "$(dirname "$0")/lib.sh"
source "$here/dns.sh"
source "$here/postfix-server.sh"

map=$work/maps/access

# put TEXT...: these lines take the place of the map.
put() { printf '%s\n' "$@" >"$map.new"; chmod 644 "$map.new"; mv "$map.new" "$map"; }

# load MARK: 400 mails over 10 sessions at once, from one sender.
load() { smtp-source -s 10 -m 400 -l 1000 -f u@load.example -t u@example.org -S "$1" -M mail.clean.example "$load_clean:$tcp"; }

read_anew() { grep -c 'event=source .*is read anew' "$gatepost_log"; }

# The map is replaced again and again while mail comes in: each file is honoured, and no mail is deferred or lost.
changes_under_load() {
    local mark=map-load n before
    load $mark >"$work/log/load.txt" 2>&1 &
    local loading=$!
    for n in 1 2 3; do
        before=$(read_anew)
        put "Connect:198.51.100.$n REJECT" "From:never.example REJECT round $n"
        newer() { [ "$(read_anew)" -gt "$before" ]; }
        await 5 newer || { echo "change $n was not noticed"; return 1; }
    done
    wait $loading || { head -5 "$work/log/load.txt"; return 1; }
    all_there() { [ "$(sunk $mark)" -eq 400 ]; }
    await 30 all_there || { echo "$(sunk $mark) of 400 delivered"; return 1; }
    none_of -E 'event=verdict .*action=(reject|tempfail)' "$gatepost_log"
}

# From the moment that the log has the new map, the sender is refused in the midst of its load.
refused_under_load() {
    local before out
    before=$(read_anew)
    load map-cut >"$work/log/cut.txt" 2>&1 &
    local loading=$!
    put "From:load.example REJECT no more"
    newer() { [ "$(read_anew)" -gt "$before" ]; }
    await 5 newer || { echo "the change was not noticed"; return 1; }
    out=$(load map-after 2>&1)
    wait $loading
    grep -q '550 5.7.1 .*no more' <<<"$out" || { echo "$out" | head -5; return 1; }
    [ "$(sunk map-after)" -eq 0 ] || { echo "$(sunk map-after) delivered"; return 1; }
}

# A broken map changes nothing, and the log has every line that is wrong.
broken_changes_nothing() {
    local out
    put "From:load.example OK" "From:x.example MAYBE" " indented OK"
    told() { grep -q 'event=source .*line=2 .*MAYBE is no action.* more=1 ' "$gatepost_log"; }
    await 5 told || { echo "not told"; grep event=source "$gatepost_log"; return 1; }
    out=$(load map-broken 2>&1)
    grep -q '550 5.7.1 .*no more' <<<"$out" || { echo "$out" | head -5; return 1; }
}

has_line() { grep -qE -- "$1" "$work"/log/gatepost-access-*.log || { grep rule=access "$work"/log/gatepost-access-*.log | head -3; return 1; }; }

start_dns
make_postfix
for port in $tcp $unix $version2; do play postfix $port "$work/sink" "$here/maps/access.txt"; done
place='in [^ ]*/maps/access'
check "the log names the key of a refusal with file and line" \
    has_line "action=reject .*rule=access because=\"to:closed@example.org $place:10\" "
check "the log names the key that lets in with file and line" \
    has_line "action=spared .*rule=access because=\"connect:8.8.2.2 $place:2\" "
check "the log names the pattern of a list" \
    has_line "because=\"gatepost-from:bank.example $place:14, the word at the end\""

toml=$here/maps/access.toml start_gatepost load
check "a map that changes under load is honoured, and no mail is lost" changes_under_load
check "a sender is refused as soon as a new map says so" refused_under_load
check "a broken map changes nothing, and every line of it is told" broken_changes_nothing
stop_gatepost load

# What other programs make of such lines: as the journal has them, without their fields.
extras=$here/../../etc
messages() { sed -nE 's/^[^ ]+ INFO event=(verdict|summary) .* message="(.*)"$/\2/p' "$work"/log/gatepost-access-*.log; }
check "logcheck has no word about what maps do" \
    none_of -vEf "$extras/logcheck/ignore" <(messages | sed 's/^/Nov 26 13:20:22 mx gatepost[350]: /')
messages | awk -f "$extras/logwatch/gatepost" >"$work/log/logwatch.txt"
for line in "reject +rule +access" "tempfail +rule +access" "quarantine +rule +access" "discard +rule +access"; do
    check "logwatch counts: $line" grep -qE "^ +[0-9]+  $line\$" "$work/log/logwatch.txt"
done
check "logwatch knows every line" none_of "Other lines" "$work/log/logwatch.txt"

check "Postfix found nothing wrong with the filter" \
    none_of -nE "unreasonable|premature|bogus|read size|error state|can't read|warning: milter|bad command" "$work/log/mail/maillog"
hunt_for_key
postfix -c "$work/postfix/etc" stop >/dev/null 2>&1
exit 0
