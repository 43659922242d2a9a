#!/bin/bash
# The administrator's verbs against real programs: doctor, key, mta, migrate, completions.
source "$(dirname "$0")/lib.sh"
source "$here/dns.sh"

# What the verbs write to must not be this machine's.
cp -a /etc "$work/etc"
mount --bind "$work/etc" /etc
rm -rf /etc/gatepost /etc/credstore /etc/credstore.encrypted

start_dns

# A Postfix as far as postconf and the account need it: chrooted smtpd, and submission.
export MAIL_CONFIG=$work/postfix
queue=$work/queue
mkdir -p "$MAIL_CONFIG" "$queue/gatepost"
chown nobody:postfix "$queue/gatepost"; chmod 2755 "$queue/gatepost"

set_up_postfix() {
    cat >"$MAIL_CONFIG/main.cf" <<END
compatibility_level = 3.6
queue_directory = $queue
data_directory = $work/data
mail_owner = postfix
END
    cat >"$MAIL_CONFIG/master.cf" <<END
smtp       inet n - y - - smtpd
submission inet n - y - - smtpd
  -o smtpd_milters=
END
}
set_up_postfix

# verb ARGUMENTS...: gatepost with the settings of start_gatepost; more of them in $settings.
settings=()
verb() {
    env -i PATH="$PATH" MAIL_CONFIG="$MAIL_CONFIG" SPAMHAUS_DQS_ENV_FILE="$work/gatepost.env" \
        SPAMHAUS_DQS_LISTEN="unix:$queue/gatepost/milter.sock" SPAMHAUS_DQS_NAMESERVERS=127.0.0.1:5353 \
        SPAMHAUS_DQS_USER=nobody SPAMHAUS_DQS_ENFORCE_STAGE=mail "${settings[@]}" "$gatepost" "$@"
}

# says PATTERN COMMAND...: whatever its status.
says() {
    local pattern=$1 out; shift
    out=$("$@" 2>&1)
    printf '== %s\n%s\n' "$*" "$out" >>"$work/log/said.txt"
    grep -qE -- "$pattern" <<<"$out" || { printf 'nothing like %s in:\n%s\n' "$pattern" "$out"; return 1; }
}
ends_with() {
    local wanted=$1 status; shift
    "$@" >"$work/log/last.txt" 2>&1
    status=$?
    [ $status -eq "$wanted" ] || { echo "status $status, not $wanted"; cat "$work/log/last.txt"; return 1; }
}

# doctor LEVEL PATTERN: a line of doctor's JSON.
doctor() { says "\"level\":\"$1\".*$2|$2.*\"level\":\"$1\"" verb doctor --json; }

# --- mta
check "mta postfix shows the line" \
    says '^smtpd_milters = \{ unix:gatepost/milter.sock, connect_timeout=5s, command_timeout=10s, default_action=accept \}$' \
    verb mta postfix
check "and changes nothing without --apply" test -z "$(postconf -h smtpd_milters)"
postconf -e 'smtpd_milters = inet:localhost:8891'
check "mta postfix --apply writes it" ends_with 0 verb mta postfix --apply
both='{ unix:gatepost/milter.sock, connect_timeout=5s, command_timeout=10s, default_action=accept }, inet:localhost:8891'
check "in front of the filter that was there" test "$(postconf -h smtpd_milters)" = "$both"
check "and only once" ends_with 0 verb mta postfix --apply
check "however often it is said" test "$(postconf -h smtpd_milters)" = "$both"
check "a submission service that asks gatepost is named with its line" says 'smtpd_milters=$' \
    bash -c "sed -i /-o/d '$MAIL_CONFIG/master.cf'; postconf -X smtpd_milters; $(declare -f verb); $(declare -p settings gatepost queue work); verb mta postfix"
set_up_postfix
mkdir -p /etc/mail
cp "$results/unpacked/etc/mail/sendmail.mc" /etc/mail/sendmail.mc 2>/dev/null ||
    printf "include(\`/usr/share/sendmail/cf/m4/cf.m4')dnl\nMAILER(\`smtp')dnl\n" >/etc/mail/sendmail.mc
mc=$(cat /etc/mail/sendmail.mc)
check "mta sendmail --apply writes sendmail.mc" ends_with 0 verb mta sendmail --apply
check "with our line before the mailers" \
    bash -c "sed '/^MAILER/,\$d' /etc/mail/sendmail.mc | grep 'INPUT_MAIL_FILTER(.gatepost.*S=local:$queue'"
check "and keeps what was there" test "$(cat /etc/mail/sendmail.mc.before-gatepost)" = "$mc"
rm -rf /etc/mail

# --- key
rm -f "$work/gatepost.env"
new=n3wk3yn3wk3yn3wk3yn3wk3yn3
print=$(printf %s $new | sha256sum | cut -c1-4)
check "key set keeps a key and shows its fingerprint only" \
    says "^key $print is kept" bash -c "echo $new | '$gatepost' key set"
place=$(grep -rlx $new /etc/gatepost /etc/credstore 2>/dev/null)
check "in one place that others cannot read" test "$(stat -c %a "$place")" -le 640
check "a placeholder is refused" ends_with 78 bash -c "echo YOUR_DQS_KEY | '$gatepost' key set"
check "and the key before stays" grep -qx $new "$place"
check "an empty input is refused" ends_with 78 bash -c "'$gatepost' key set </dev/null"
check "so is one that never ends" ends_with 78 bash -c "head -c 1000000 /dev/zero | tr '\0' k | '$gatepost' key set"
check "another account gets a clear no" says 'Permission denied.*run it as root' \
    setpriv --reuid=nobody --clear-groups bash -c "echo $new | '$gatepost' key set"
settings=(SPAMHAUS_DQS_API_KEY_FILE="$place")
check "key fingerprint names the key and its place" says "^$print  " verb key fingerprint
# SELinux as far as a program without it can see: the tool gets the path of the file.
mkdir "$work/bin"
mount -t tmpfs tmpfs /sys/fs && mkdir /sys/fs/selinux && echo 0 >/sys/fs/selinux/enforce
printf '#!/bin/sh\necho "$@" >>%s\n' "$work/log/restorecon.txt" >"$work/bin/restorecon"
chmod 755 "$work/bin/restorecon"
check "with SELinux, key set" ends_with 0 env PATH="$work/bin:$PATH" bash -c "echo $new | '$gatepost' key set"
check "gives the file its label" grep -qx -- "$place" "$work/log/restorecon.txt"
printf '#!/bin/sh\necho no such context >&2\nexit 1\n' >"$work/bin/restorecon"
check "if that fails, the key is kept all the same, and the remedy told" says "no such context; .*restorecon -v $place" \
    env PATH="$work/bin:$PATH" bash -c "echo $new | '$gatepost' key set"
umount /sys/fs
check "key remove forgets it" says "^removed $place" "$gatepost" key remove
check "for good" test ! -e "$place"
check "and says so the next time" says 'there is no key' "$gatepost" key remove
settings=()

# --- migrate
printf 'SPAMHAUS_DQS_API_KEY=%s\nSPAMHAUS_DQS_ZEN_REJECT_CODES="2,3"\nexport SPAMHAUS_DQS_CACHE_MAX=abc\n' \
    "$key" >"$work/old.env"
check "migrate names what was misread so far" says 'CACHE_MAX' "$gatepost" migrate "$work/old.env"
check "and prints TOML" bash -c "'$gatepost' migrate '$work/old.env' 2>/dev/null >'$work/new.toml'"
check "without the key" none_of -i -- "$key" "$work/new.toml"
check "that check-config takes" says 'zen.reject_codes *= 2,3 *# .*new.toml' \
    env SPAMHAUS_DQS_WITHOUT_KEY=accept SPAMHAUS_DQS_USER=nobody "$gatepost" check-config --config "$work/new.toml"
check "a missing file is named" ends_with 78 "$gatepost" migrate "$work/none.env"

# --- completions
for shell in bash zsh fish; do
    check "completions for $shell know the verbs" says 'check-config' "$gatepost" completions $shell
done
check "and the lists" says 'authbl' "$gatepost" completions bash
check "bash takes its completions" bash -c "'$gatepost' completions bash | bash -n"

# --- doctor: a good set-up
start_gatepost doctor LISTEN="unix:$queue/gatepost/milter.sock" ENFORCE_STAGE=mail
verb mta postfix --apply >/dev/null
check "doctor finds nothing wrong in a good set-up" none_of -E '"level":"(wrong|warning)"' <(verb doctor --json)
check "and says so by its status" ends_with 0 verb doctor
check "it asked the lists" doctor ok 'ZEN knows its test entry'
check "played a session" doctor ok 'milter.sock answers a whole session'
check "and reached the socket as Postfix, from its chroot" doctor ok 'postfix reaches unix:gatepost/milter.sock from the chroot'

# --- the policy, asked
session=(--client 192.0.2.99 --helo mx.example.org --from a@example.org --rcpt b@mail.example)
check "explain tells every rule" says '^  dbl  +did not fire: ' verb explain "${session[@]}"
check "explain asks the live daemon" says '^end of message  +continue' \
    verb explain --via "unix:$queue/gatepost/milter.sock" "${session[@]}"
line='INFO event=verdict session=1.1 qid=NOQUEUE stage=mail action=reject identity=client zone=zen list=XBL codes=127.0.0.4 subject=8.8.99.99 client_ip=8.8.99.99 helo=mx.example.org mail_from=<a@example.org> rcpt="" auth=0 reply="554 5.7.1 no" reason=listed rule=zen score=0'
check "explain --replay reads the log on standard input and tells what differs" says 'ZEN about client 8.8.99.99: then 127.0.0.4, now' \
    verb explain --replay <<<"$line"
check "and says so by its status" ends_with 1 verb explain --replay "$line"
check "lookup asks the lists in use" says 'listed in ZEN, reject' verb lookup 127.0.0.2
check "lookup names the rules that fire" says '^  rule zen: reject' verb lookup 127.0.0.2
check "show-config shows where a value comes from" says '^enforce.stage = "mail"  # environment, SPAMHAUS_DQS_ENFORCE_STAGE' \
    verb show-config --changed --origin
verb show-config >"$work/shown.toml"
check "what it shows holds no key" none_of -i -- "$key" "$work/shown.toml"
check "and is taken as a configuration" ends_with 0 verb check-config --config "$work/shown.toml"

# --- lists of one's own, with and without test entries
printf ':127.0.0.2:listed\n127.0.0.2\n198.51.100.7 :127.0.0.6:known and liked\n' >"$work/zones/own4"
printf ':127.0.0.2:listed\nspam.example\n' >"$work/zones/own"
serve 5393 "friends.example:ip4set:own4" "names.example:dnset:own" "empty.example:ip4set:/dev/null"
await 10 bash -c 'dig +short +tries=1 +time=1 -p 5393 @127.0.0.1 2.0.0.127.friends.example | grep -qx 127.0.0.2'
cat >"$work/own.toml" <<END
[[list]]
name = "friends"
kind = "address"
zone = "friends.example"
bits = { known = 2, liked = 4 }
[[list]]
name = "names"
kind = "domain"
zone = "names.example"
test = false
[[list]]
name = "empty"
kind = "address"
zone = "empty.example"
[[rule]]
name = "liked"
list = "friends"
codes = "liked"
action = "allow"
END
own() {
    settings=(SPAMHAUS_DQS_NAMESERVERS=127.0.0.1:5393 SPAMHAUS_DQS_ZEN_ENABLE=0 SPAMHAUS_DQS_DBL_ENABLE=0 SPAMHAUS_DQS_ZRD_ENABLE=0)
    verb "$@" --config "$work/own.toml"
}
check "doctor asks a list of one's own for its test entries" says '"level":"ok".*FRIENDS knows its test entry' own doctor --json
check "and tells if it has none" says '"level":"wrong".*EMPTY does not know its test entry' own doctor --json
check "one without test entries is asked about nobody" says '"level":"ok".*NAMES answers; .*without test entries' own doctor --json
check "lookup decodes the bits of its answers" says '^  known  bit 2$' own lookup 198.51.100.7
check "and names the rule that they fire" says '^  rule liked: allow$' own lookup 198.51.100.7
check "lookup asks only the list that is named" says 'spam.example: listed in NAMES' own lookup --list names spam.example
settings=()

# --- and what is wrong, one thing at a time
check "an account that is not there" bash -c "$(declare -f says verb doctor); $(declare -p gatepost queue work MAIL_CONFIG)
    settings=(SPAMHAUS_DQS_USER=nosuchuser); doctor wrong 'nosuchuser does not exist'"
wrong() { # TITLE LEVEL PATTERN SETTING...
    local title=$1 level=$2 pattern=$3; shift 3
    settings=("$@")
    check "$title" doctor "$level" "$pattern"
    settings=()
}
wrong "a configuration with errors" wrong 'THREADS' SPAMHAUS_DQS_THREADS=many
wrong "no key" wrong 'there is none' SPAMHAUS_DQS_ENV_FILE=/dev/null SPAMHAUS_DQS_WITHOUT_KEY=accept
wrong "a key in the environment" warning 'process environment' SPAMHAUS_DQS_API_KEY="$key"
wrong "a key that the lists do not know" wrong 'does not know its own test entry|reports|failed|refused' \
    SPAMHAUS_DQS_API_KEY=n0suchk3yn0suchk3yn0suchk3
wrong "a name server that is dead" warning '127.0.0.1:5999' SPAMHAUS_DQS_NAMESERVERS=127.0.0.1:5353,127.0.0.1:5999
wrong "no name server that lives" wrong 'none of them answers' SPAMHAUS_DQS_NAMESERVERS=127.0.0.1:5999
wrong "a name server elsewhere" warning 'not on this host' SPAMHAUS_DQS_NAMESERVERS=127.0.0.1:5353,192.0.2.53 SPAMHAUS_DQS_DNS_LIFETIME=0.3
wrong "mail refused at CONNECT" warning 'refused at CONNECT' SPAMHAUS_DQS_ENFORCE_STAGE=connect
wrong "a daemon that does not listen" wrong 'none.sock: ' SPAMHAUS_DQS_LISTEN="unix:$work/none.sock"
chmod 644 "$work/gatepost.env"
wrong "a key that others can read" wrong 'others can read'
chmod 640 "$work/gatepost.env"
chgrp root "$work/gatepost.env"
wrong "a file that the account cannot read" warning 'cannot read'
chgrp nogroup "$work/gatepost.env"
chmod 600 "$queue/gatepost/milter.sock"
wrong "a socket that Postfix' account cannot open" wrong 'does not reach unix:gatepost/milter.sock .*ermission'
chmod 660 "$queue/gatepost/milter.sock"
postconf -e 'smtpd_milters = unix:gatepost/milter.sock'
wrong "default_action=tempfail" warning 'default_action=tempfail'
postconf -e 'smtpd_milters = { unix:gatepost/milter.sock, command_timeout=1s, default_action=accept }'
wrong "a patience that is too short" wrong 'shorter than'
postconf -e 'smtpd_milters = inet:localhost:8891'
wrong "a Postfix that asks others only" wrong 'does not ask gatepost'
verb mta postfix --apply >/dev/null
postconf -e 'non_smtpd_milters = $smtpd_milters'
wrong "local mail" warning 'non_smtpd_milters'
postconf -X non_smtpd_milters
postconf -e 'milter_protocol = 2'
wrong "an old protocol" warning 'milter_protocol is 2'
postconf -X milter_protocol
sed -i /-o/d "$MAIL_CONFIG/master.cf"
wrong "a submission service that asks" warning 'submission asks gatepost'
set_up_postfix
verb mta postfix --apply >/dev/null
mkdir -p /etc/mail
printf 'O InputMailFilters=gatepost\nXgatepost, S=local:%s, F=T, T=R:1s\n' "$queue/gatepost/milter.sock" >/etc/mail/sendmail.cf
wrong "Sendmail with F=T" warning 'turned away .F=T'
wrong "Sendmail without patience" wrong 'T=R:1s is shorter'
printf 'O InputMailFilters=\n' >/etc/mail/sendmail.cf
wrong "a Sendmail that does not ask" wrong 'sendmail.*does not ask gatepost|does not ask gatepost.*sendmail'
rm -rf /etc/mail
check "warnings alone end with status 1" bash -c "$(declare -f verb ends_with); $(declare -p gatepost queue work MAIL_CONFIG)
    settings=(SPAMHAUS_DQS_ENFORCE_STAGE=connect); ends_with 1 verb doctor"
check "offline, no list is asked" says 'offline' verb doctor --offline
kill -STOP "$gatepost_pid"
wrong "a daemon that hangs" wrong 'takes the connection and does not answer'
kill -CONT "$gatepost_pid"
stop_gatepost doctor
hunt_for_key
