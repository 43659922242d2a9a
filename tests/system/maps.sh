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
    load "$mark" >"$work/log/load.txt" 2>&1 &
    local loading=$!
    for n in 1 2 3; do
        before=$(read_anew)
        put "Connect:198.51.100.$n REJECT" "From:never.example REJECT round $n"
        newer() { [ "$(read_anew)" -gt "$before" ]; }
        await 5 newer || { echo "change $n was not noticed"; return 1; }
    done
    wait "$loading" || { head -5 "$work/log/load.txt"; return 1; }
    all_there() { [ "$(sunk "$mark")" -eq 400 ]; }
    await 30 all_there || { echo "$(sunk "$mark") of 400 delivered"; return 1; }
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
    wait "$loading"
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

# Beside lists of DQS, in force, in shadow and looking on, at every stage.
mkdir "$work/stages"
for mode in enforce shadow observe; do
    for stage in connect helo mail rcpt; do
        file=$work/stages/$mode-$stage
        python3 "$here/maps/stages.py" "$here/maps/stages.tsv" $mode $stage >"$file.txt" || fail "stages.py reads its table"
        cp "$here/maps/stages.map" "$file.map"
        printf '[access]\nmap = ["text:@work@/maps/access"]\n' >"$file.toml"
        [ $mode != shadow ] || echo 'mode = "shadow"' >>"$file.toml"
        play postfix $tcp "$work/sink" "$file.txt"
    done
done

toml=$here/maps/access.toml start_gatepost load
check "a map that changes under load is honoured, and no mail is lost" changes_under_load
check "a sender is refused as soon as a new map says so" refused_under_load
check "a broken map changes nothing, and every line of it is told" broken_changes_nothing
stop_gatepost load

# Maps of other kinds, made and asked by the programs that they belong to: each says what the text says.
kinds=$work/kinds
mkdir -p "$kinds/etc"
printf 'compatibility_level = 3.6\nshlib_directory = /usr/lib/postfix\n' >"$kinds/etc/main.cf"
for kind in cdb lmdb; do printf '%s\tpostfix-%s.so\tdict_%s_open\tmkmap_%s_open\n' $kind $kind $kind $kind; done >"$kinds/etc/dynamicmaps.cf"
printf '%s\t%s\n' connect:192.0.2 REJECT connect:192.0.2.9 OK from:bad.example 'ERROR:5.7.1:550 go away' >"$kinds/access"
postmap -c "$kinds/etc" "cdb:$kinds/access"
postmap -c "$kinds/etc" "lmdb:$kinds/access"
tr '\t' '\n' <"$kinds/access" | mdb_load -n -T "$kinds/loaded.lmdb"
seq -f 'from:d%g.example REJECT' 20000 | cat "$kinds/access" - >"$kinds/many"
postmap -c "$kinds/etc" "lmdb:$kinds/many"
sqlite3 "$kinds/access.sq3" 'CREATE TABLE kvm (k TEXT PRIMARY KEY, v TEXT)' '.mode tabs' ".import $kinds/access kvm"
python3 "$here/maps/socketmap.py" "$kinds/socket" "$kinds/access" &
await 5 test -S "$kinds/socket"

# says LOCATION: the same for four subjects.
says() {
    local subject expected out
    while read -r tag subject expected; do
        out=$(env -i "$gatepost" --config /dev/null map query "$1" "$tag" "$subject" 2>&1)
        grep -qF -- "$expected" <<<"$out" || { echo "$tag $subject: $out"; return 1; }
    done <<'SUBJECTS'
connect 192.0.2.7 => refused (550 5.7.1): connect:192.0.2 in
connect 192.0.2.9 => allowed: connect:192.0.2.9 in
connect 198.51.100.1 => the map says nothing
from u@mail.bad.example => refused (550 5.7.1 go away): from:bad.example in
SUBJECTS
}
check "a text says it" says "text:$kinds/access"
check "a constant database of postmap says the same" says "cdb:$kinds/access.cdb"
check "an LMDB database of postmap says the same" says "lmdb:$kinds/access.lmdb"
check "one of mdb_load says the same" says "lmdb:$kinds/loaded.lmdb"
check "one of 20,000 entries says the same" says "lmdb:$kinds/many.lmdb"
check "all entries of it are read" grep -q '20003 entries' <(env -i "$gatepost" --config /dev/null map check "lmdb:$kinds/many.lmdb" 2>&1)
check "a table of sqlite3 says the same" says "sqlite:$kinds/access.sq3"
check "a socket map says the same" says "socketmap:unix:$kinds/socket:access"
check "and so does milter-spamc's way to write it" says "access!socketmap!$kinds/socket"
check "the socket map is one for Postfix, too" \
    test "$(postmap -c "$kinds/etc" -q connect:192.0.2 "socketmap:unix:$kinds/socket:access")" = REJECT

# Berkeley DB, which gatepost does not read: the message has commands, and what they write says the same.
# Sendmail's makemap wants the configuration of an installed Sendmail, of which it needs nothing.
makemap=$kinds/bin/makemap
mkdir "$kinds/bin"
printf '#!/bin/sh\nexec "%s" -C /dev/null "$@"\n' "$results/unpacked/usr/libexec/sendmail/makemap" >"$makemap"
chmod 755 "$makemap"
exports() {
    local out command
    out=$(env -i "$gatepost" --config /dev/null map check "$1" 2>&1)
    command=$(grep -oE "$2 [^ ]+( [^ ]+)? >$kinds/[a-z]+\.txt" <<<"$out" | head -n 1)
    [ -n "$command" ] || { echo "no command: $out"; return 1; }
    (PATH=$(dirname "$makemap"):$PATH MAIL_CONFIG=$kinds/etc; export MAIL_CONFIG; cd / && sh -c "$command") || { echo "$command fails"; return 1; }
    grep -q . "${command##*>}" || { echo "$command writes nothing"; return 1; }
    says "text:${command##*>}" || { echo "$command"; head -3 "${command##*>}"; return 1; }
    rm "${command##*>}"
}
made() { "$makemap" "$1" "$2" <"$kinds/access" 2>&1; }
cp "$kinds/access" "$kinds/berkeley"
check "makemap of Sendmail makes a map of Berkeley DB" made hash "$kinds/berkeley"
for name in "hash:$kinds/berkeley" "$kinds/berkeley.db" "btree:$kinds/tree"; do
    [ "$name" != "btree:$kinds/tree" ] || check "makemap makes one with a tree" made btree "$kinds/tree"
    check "$name: the command for Sendmail in the message works" exports "$name" "makemap -u"
done
check "postmap makes a map of Berkeley DB" postmap -c "$kinds/etc" "hash:$kinds/access"
check "hash:$kinds/access: the command for Postfix in the message works" exports "hash:$kinds/access" "postmap -s"
told_what_it_is() {
    local out; out=$(env -i "$gatepost" --config /dev/null map check "text:$kinds/link" 2>&1)
    grep -q 'Berkeley DB' <<<"$out" || { echo "$out"; return 1; }
}
ln -s "$kinds/berkeley.db" "$kinds/link"
check "a map of Berkeley DB that is named as a text is known for what it is" told_what_it_is
if made cdb "$kinds/sendmail" >/dev/null && [ -e "$kinds/sendmail.cdb" ]; then
    check "a constant database of makemap says the same" says "cdb:$kinds/sendmail.cdb"
else
    check "this makemap knows no constant databases" grep -q . <(made cdb "$kinds/sendmail")
fi

# All of them in a daemon in its sandbox, as another account.
printf 'from:%s\tREJECT said by %s\n' one.example cdb >"$kinds/one"
printf 'from:%s\tREJECT said by %s\n' two.example sqlite >"$kinds/two"
postmap -c "$kinds/etc" "cdb:$kinds/one"
printf 'from:%s\tREJECT said by %s\n' three.example lmdb >"$kinds/three"
postmap -c "$kinds/etc" "lmdb:$kinds/three"
sqlite3 "$kinds/two.sq3" 'CREATE TABLE kvm (k TEXT PRIMARY KEY, v TEXT)' '.mode tabs' ".import $kinds/two kvm"
chmod -R a+rX "$kinds"
printf 'from:%s\tREJECT said over TCP\n' four.example >"$kinds/four"
python3 "$here/maps/socketmap.py" 7953 "$kinds/four" &
await 5 listens 7953
printf '[access]\nmap = ["cdb:%s", "lmdb:%s", "sqlite:%s", "socketmap:unix:%s:access", "socketmap:inet:127.0.0.1:7953:access"]\n' \
    "$kinds/one.cdb" "$kinds/three.lmdb" "$kinds/two.sq3" "$kinds/socket" >"$work/kinds.toml"
toml=$work/kinds.toml start_gatepost kinds
refused() {
    local out
    # It ends with an error when it is refused.
    out=$(smtp-source -f "u@$1" -t u@example.org -M mail.clean.example "$load_clean:$tcp" 2>&1)
    grep -q "550 5.7.1 .*$2" <<<"$out" || { echo "$out" | head -3; return 1; }
}
check "a constant database refuses a sender" refused one.example "said by cdb"
check "an LMDB database refuses a sender" refused three.example "said by lmdb"
check "a table of SQLite refuses a sender" refused two.example "said by sqlite"
check "a socket map refuses a sender" refused bad.example "go away"
check "a socket map over TCP refuses a sender" refused four.example "said over TCP"
confined() { grep -q "event=confined steps=.*landlock enforced" "$gatepost_log" || { grep event=confined "$gatepost_log"; return 1; }; }
check "all that is behind Landlock" confined
printf 'from:%s\tREJECT %s\n' one.example 'said anew' >"$kinds/one"
postmap -c "$kinds/etc" "cdb:$kinds/one"
anew() { refused one.example "said anew"; }
check "a constant database that was made anew is honoured" await 5 anew
# Postfix writes it in its place: at no moment the sender is let in.
lightning_anew() {
    local n before
    for n in 1 2 3 4 5; do
        before=$(grep -c 'event=source .*three.lmdb is read anew' "$gatepost_log")
        { printf 'from:%s\tREJECT %s\n' three.example "round $n"; seq -f 'from:d%g.example OK' 5000; } >"$kinds/three"
        postmap -c "$kinds/etc" "lmdb:$kinds/three" &
        local writing=$!
        newer() {
            refused three.example . || { touch "$kinds/hole"; return 0; }
            [ "$(grep -c 'event=source .*three.lmdb is read anew' "$gatepost_log")" -gt "$before" ]
        }
        await 10 newer || { echo "round $n was not noticed"; return 1; }
        wait "$writing"
        [ ! -e "$kinds/hole" ] || { echo "let in in round $n"; return 1; }
        refused three.example "round $n" || { echo "round $n is not honoured"; return 1; }
    done
}
check "an LMDB database that is written in its place is honoured, and never half" lightning_anew
# Another file takes the place of the database while mail comes in, and another program holds it.
anew_sqlite() {
    local n
    load kinds-load >"$work/log/kinds.txt" 2>&1 &
    local loading=$!
    for n in 1 2 3; do
        rm -f "$kinds/new.sq3"
        sqlite3 "$kinds/new.sq3" 'CREATE TABLE kvm (k TEXT PRIMARY KEY, v TEXT)' "INSERT INTO kvm VALUES ('from:two.example', 'REJECT round $n')"
        chmod 644 "$kinds/new.sq3"; mv "$kinds/new.sq3" "$kinds/two.sq3"
        refused two.example "round $n" || { echo "round $n is not honoured"; return 1; }
    done
    # The load waits for the lock, and no mail is deferred; whoever comes then is let in (access.on_trouble).
    unasked() { grep -c 'rule=access .*two.sq3.* cannot be asked' "$gatepost_log"; }
    local before; before=$(unasked)
    sqlite3 -cmd '.timeout 5000' "$kinds/two.sq3" 'BEGIN EXCLUSIVE' ".shell touch $kinds/held; until [ -e $kinds/enough ]; do sleep 0.02; done" COMMIT &
    local holding=$!
    await 10 test -e "$kinds/held" || { echo "no lock"; return 1; }
    busy() { [ "$(unasked)" -gt "$before" ]; }
    smtp-source -s 5 -m 20 -f u@load.example -t u@example.org -S kinds-locked -M mail.clean.example "$load_clean:$tcp" ||
        { echo "not let in while it is locked"; return 1; }
    await 5 busy || { echo "not told"; grep event=map "$gatepost_log"; return 1; }
    kill -0 "$holding" || { echo "the lock went before the mail came"; return 1; }
    touch "$kinds/enough"
    wait "$holding" || { echo "the lock was never held"; return 1; }
    again() { refused two.example "round 3"; }
    await 10 again || { echo "not asked again"; return 1; }
    wait "$loading" || { head -5 "$work/log/kinds.txt"; return 1; }
    all_there() { [ "$(sunk kinds-load)" -eq 400 ]; }
    await 30 all_there || { echo "$(sunk kinds-load) of 400 delivered"; return 1; }
    none_of -E 'event=verdict .*action=tempfail' "$gatepost_log"
}
check "a database of SQLite that is replaced and locked under load" anew_sqlite

# What is no file in the place of one: told, and the map that was read stays; nobody waits for the writer of a FIFO.
no_file() {
    local what=$1; shift
    rm -rf "$kinds/odd"; "$@" "$kinds/odd" || return 1
    mv "$kinds/one.cdb" "$kinds/one.kept"; mv "$kinds/odd" "$kinds/one.cdb"
    is_told() { grep -q "event=source .*one.cdb.*$what" "$gatepost_log"; }
    await 5 is_told || { echo "not told"; grep event=source "$gatepost_log" | tail -3; return 1; }
    refused one.example "said anew" || { echo "the map is gone"; return 1; }
    env -i timeout 10 "$gatepost" --config /dev/null map check "cdb:$kinds/one.cdb" >"$work/log/odd.txt" 2>&1
    grep -q "$what" "$work/log/odd.txt" || { cat "$work/log/odd.txt"; return 1; }
    rm -rf "$kinds/one.cdb"; mv "$kinds/one.kept" "$kinds/one.cdb"
}
check "a FIFO in the place of a map" no_file "FIFO" mkfifo
check "a directory in the place of a map" no_file "directory" mkdir
check "and the file in its place again" refused one.example "said anew"
stop_gatepost kinds

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
