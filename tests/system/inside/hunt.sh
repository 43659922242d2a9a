#!/bin/bash
# The key, given in each of the ways there are, is hunted in all that the service and others write or show.
source /tests/inside/lib.sh

start_lists
lists=$!
start_postfix
apt-get install -y $packages/gatepost_*-1_*.deb >$work/apt 2>&1 || die "apt install" "$(cat $work/apt)"
[ ! -x /override/gatepost ] || cp --remove-destination /override/gatepost /usr/sbin/gatepost
gatepost mta postfix --apply >/dev/null
postconf -e 'maillog_file = /var/log/mail.log'
systemctl restart postfix
await 20 listens 25 || die "Postfix listens"
filters() { says 8.8.2.2 u@clean.example 554 "blocked by Spamhaus SBL"; }
answer_again() {
    (cd $work/zones && exec rbldnsd -n -f -u rbldns -w $work/zones -b 127.0.0.1/53 \
        "$key.zen.dq.spamhaus.net:ip4set:zen4" "$key.zen.dq.spamhaus.net:ip6trie:zen6" \
        "$key.dbl.dq.spamhaus.net:dnset:dbl" "$key.zrd.dq.spamhaus.net:dnset:zrd") >$work/rbldnsd.out 2>&1 &
    lists=$!
    await 10 answers
}
mkdir -p $work/shown /etc/gatepost/gatepost.toml.d

# Everything that gatepost says, with a fault of each kind before it.
trouble() {
    local way=$1 pid shown=$work/shown/$1
    mkdir -p "$shown"
    python3 /tests/inside/mail.py send 8.8.2.2 u@spam.example >"$shown/reply" 2>&1
    kill $lists; wait $lists 2>/dev/null
    python3 /tests/inside/mail.py load 2 8 0 >>"$shown/reply" 2>&1
    gatepost lookup 8.8.2.2 spam.example >"$shown/lookup" 2>&1
    gatepost explain --client 8.8.2.2 --helo x.example --from u@spam.example >"$shown/explain" 2>&1
    gatepost doctor >"$shown/doctor" 2>&1
    answer_again || return 1
    cp /etc/gatepost/gatepost.toml $work/good
    printf '[key]\nvalue = "%s\n' "$key" >>/etc/gatepost/gatepost.toml
    gatepost check-config >"$shown/check" 2>&1
    gatepost reload >"$shown/reload" 2>&1
    systemctl reload gatepost.service
    cat $work/good >/etc/gatepost/gatepost.toml
    pid=$(main_pid)
    for file in cmdline environ maps status limits stat mountinfo; do tr '\0' '\n' <"/proc/$pid/$file" >"$shown/$file" 2>/dev/null; done
    systemctl show gatepost.service gatepost.socket >"$shown/show"
    systemctl status --no-pager --full -n 200 gatepost.service >"$shown/systemctl-status"
    systemctl cat gatepost.service >"$shown/cat"
    gatepost status >"$shown/gatepost-status" 2>&1
    gatepost status --json >"$shown/json" 2>&1
    gatepost status --prometheus >"$shown/prometheus" 2>&1
    gatepost check-config >>"$shown/check" 2>&1
    ps axww -o pid,user,args | grep gatepost >"$shown/ps"
    kill -ABRT "$pid"
    await 5 sh -c "[ \$(systemctl show -P MainPID gatepost.service) != $pid ] && systemctl is-active -q gatepost.service"
}

# The key as it is, in any case, in base64 wherever it begins in a group of three, and in hexadecimal.
python3 - "$key" >$work/needles <<'P'
import base64, sys
key = sys.argv[1]
print(key)
print(key.encode().hex())
for n in range(3):
    text = base64.b64encode(b"\0" * n + key.encode()).decode()
    print(text[4 * (n > 0) : len(text) // 4 * 4 - 4])
    print(base64.b32encode(key.encode()).decode().rstrip("=")[:-2])
P
hunt() { ! grep -raliFf $work/needles -- "$@"; }
runs() { systemctl restart gatepost.service && filters; }
lookout() {
    local way=$1; shift
    check "key by $way: it filters" runs
    check "key by $way: trouble" trouble "$way"
    check "key by $way: no core may be written" grep -qE '^Max core file size +0 +0 ' "$work/shown/$way/limits"
    # A needle that is found where it is, so that an empty hunt means something.
    check "key by $way: found nowhere in what is shown" hunt "$work/shown/$way"
    check "key by $way: it was all there to see" test "$(cat "$work/shown/$way"/* | wc -c)" -gt 20000
}
credentials() { rm -f /etc/credstore/gatepost.dqs-key-plain /etc/credstore.encrypted/gatepost.dqs-key; }

mkdir -p /etc/credstore /etc/credstore.encrypted; chmod 700 /etc/credstore /etc/credstore.encrypted
credentials
install -m 600 /dev/stdin /etc/credstore/gatepost.dqs-key-plain <<<"$key"
check "the hunter finds what is there" sh -c "! grep -qaliFf $work/needles /dev/null && grep -qaliFf $work/needles /etc/credstore/gatepost.dqs-key-plain"
lookout credential

credentials
systemd-creds setup >/dev/null 2>&1
encrypt() { systemd-creds encrypt --name=dqs-key - /etc/credstore.encrypted/gatepost.dqs-key <<<"$key"; }
check "an encrypted credential" encrypt
lookout encrypted-credential

credentials
install -m 640 -g gatepost /dev/stdin /etc/gatepost/dqs.key <<<"$key"
printf '[key]\nfile = "/etc/gatepost/dqs.key"\n' >/etc/gatepost/gatepost.toml.d/key.toml
lookout file
rm /etc/gatepost/dqs.key /etc/gatepost/gatepost.toml.d/key.toml

install -m 640 -g gatepost /dev/stdin /etc/spamhaus-dqs-milter.env <<<"SPAMHAUS_DQS_API_KEY=$key"
lookout env-file
rm /etc/spamhaus-dqs-milter.env

check "gatepost key set, at last" gatepost key set <<<"$key"
gatepost key fingerprint >$work/shown/fingerprint 2>&1
check "its words hold no key" hunt $work/shown
journalctl --sync
journalctl -b -o export >$work/journal
check "no line of the journal holds it" hunt $work/journal
check "nor any file of the logs" hunt /var/log
check "nor any mail that waits" hunt /var/spool/postfix
dpkg -L gatepost | while read -r file; do [ ! -f "$file" ] || echo "$file"; done >$work/files
packaged() { xargs -a $work/files grep -aliFf $work/needles -- && return 1; [ "$(wc -l <$work/files)" -gt 20 ]; }
check "nor any file of the package" packaged
check "no core was written" test -z "$(find / -xdev \( -name 'core' -o -name 'core.*' \) -type f -size +100k -not -path '/usr/*' 2>/dev/null; ls /var/lib/systemd/coredump 2>/dev/null)"
exit 0
