#!/bin/bash
# confined.sh selinux|apparmor: the package on a machine that enforces; mail flows, nothing of ours is denied,
# and what a taken-over daemon might try fails.
mode=$1
source /tests/inside/lib.sh
suite=$mode

confinement() { tr -d '\0' <"/proc/$1/attr/current"; }
# Of our domain or profile only; the distribution has denials of its own.
denials() { sed -nE '/avc: +denied.*gatepost_|apparmor="DENIED".*profile="gatepost/p' /var/log/audit/audit.log; }
none_denied() { local out; out=$(denials); [ -z "$out" ] || { echo "$out"; return 1; }; }
ours() { [[ $(confinement "$(main_pid)") == "$label" ]] || { confinement "$(main_pid)"; return 1; }; }

case $mode in
selinux)
    label='system_u:system_r:gatepost_milter_t:s0' exporter='system_u:system_r:gatepost_exporter_t:s0'
    check "SELinux enforces" test "$(cat /sys/fs/selinux/enforce)" = 1
    check "the script runs as an administrator would" grep -q unconfined_t /proc/self/attr/current ;;
apparmor)
    label='gatepost (enforce)' exporter='gatepost-metrics-exporter (enforce)'
    check "AppArmor is enabled" aa-enabled --quiet ;;
esac
check "audit records are kept" await 10 test -s /var/log/audit/audit.log

start_lists
start_postfix
check "the package is installed" dpkg -i $packages/gatepost_*-2_*.deb
gatepost key set <<<"$key" >/dev/null || die "gatepost key set"
systemctl restart gatepost.service || die "restart with the key" "$(journalctl -u gatepost.service -n 12 --no-pager -o cat)" "$(denials | tail -n 5)"
ok "restart with the key"
gatepost mta postfix --apply >/dev/null || die "gatepost mta postfix --apply"
postconf -e "$(postconf smtpd_milters | sed 's/default_action=accept/default_action=tempfail/')"
systemctl reload postfix

check "the daemon is confined" ours
check "ps -Z says so too" grep -qF "$label" <(ps -Zp "$(main_pid)")
check "clean mail comes in" says 8.8.3.1 u@clean.example 250 ""
check "a listed client is refused" says 8.8.2.2 u@clean.example 554 "blocked by Spamhaus SBL"
check "a listed sender is refused" says 8.8.3.1 u@spam.example 550 "Sender domain spam.example blocked"

# Open sessions go through the descriptor store, twice.
python3 /tests/inside/mail.py load 4 30 0.2 >$work/counts 2>$work/load-errors & load=$!
restarts() {
    local n pid; pid=$(main_pid)
    for n in 1 2; do passed 20 || return 1; systemctl restart gatepost.service || return 1; done
    kill -0 $load || { echo "the load was over before the last restart"; return 1; }
    [ "$(main_pid)" != "$pid" ]
}
check "two restarts with sessions open" restarts
wait $load
all_right() { python3 -c 'import json, sys; c = json.load(open(sys.argv[1])); sys.exit(c != {"250": 60, "550": 60, "wrong": 0, "longest": c["longest"]})' $work/counts || { cat $work/counts $work/load-errors; return 1; }; }
check "60 mails came in, 60 were refused, none was told to come again" all_right
reload() {
    systemctl reload gatepost.service || return 1
    await 10 sh -c 'journalctl -t gatepost | grep -q "new configuration is in force"'
}
check "reload" reload
check "the daemon is confined after all that" ours
check "an administrator asks for the status" gatepost status
exports() { python3 -c 'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:9119/metrics", timeout=5).read().decode())' | grep -q '^gatepost_'; }
check "the exporter starts" systemctl start gatepost-metrics-exporter.service
check "it serves metrics" await 10 exports
exporter_confined() {
    local out; out=$(confinement "$(systemctl show -P MainPID gatepost-metrics-exporter.service)")
    [ "$out" = "$exporter" ] || { echo "$out"; return 1; }
}
check "it is confined on its own" exporter_confined
check "sendmail(1) submits" sh -c 'printf "Subject: local\n\nlocal\n" | sendmail -f u@clean.example root'

if [ "$mode" = selinux ]; then
    typed() { local out; out=$(stat -c %C "$2") && [[ $out == *:"$1":* ]] || { echo "$out"; return 1; }; }
    while read -r type path; do check "$path is $type" typed "$type" "$path"; done <<L
gatepost_milter_exec_t /usr/sbin/gatepost
gatepost_etc_t /etc/gatepost/gatepost.toml
gatepost_secret_t $(echo /etc/credstore*/gatepost.dqs-key*)
gatepost_milter_data_t /run/gatepost/milter.sock
gatepost_milter_data_t /var/spool/postfix/gatepost/milter.sock
gatepost_control_t /run/gatepost/control.sock
gatepost_metrics_t /run/gatepost/metrics.sock
L
else
    check "both profiles enforce" sh -c 'aa-status --json | python3 -c "import json, sys
p = json.load(sys.stdin)[\"profiles\"]; sys.exit([p.get(n) for n in (\"gatepost\", \"gatepost-metrics-exporter\")] != [\"enforce\"] * 2)"'
fi
check "nothing of ours was denied" none_denied

# The same program in our place, as root and without the unit's sandbox: confined by nothing else.
acts=(read:/etc/shadow read:/root/secret write:/etc/gatepost/gatepost.toml write:/usr/local/bin/new write:/tmp/new
    write:/var/spool/postfix/new execute:/usr/bin/dash raw packet setuid mount:/mnt ptrace)
# What AppArmor 3 does not know: ports, and memory without a file.
[ "$mode" = apparmor ] || acts+=(connect:25 code)
# For the comparison alone: an administrator has no such memory either. No rule of ours hangs on it (selinux.txt).
[ "$mode" = apparmor ] || setsebool allow_execmem on
echo secret >/root/secret
cp /tests/forbidden /usr/local/lib/forbidden; chmod 755 /usr/local/lib/forbidden
/usr/local/lib/forbidden "${acts[@]}" >$work/free
for act in "${acts[@]}"; do check "unconfined: $act" grep -qx "$act done" $work/free; done
umount /mnt; rm -f /usr/local/bin/new /tmp/new /var/spool/postfix/new
case $mode in
selinux) chcon -t gatepost_milter_exec_t /usr/local/lib/forbidden; confine=() ;;
apparmor) confine=(-p AppArmorProfile=gatepost) ;;
esac
systemd-run --quiet --wait --unit=forbidden "${confine[@]}" -p BindReadOnlyPaths=/usr/local/lib/forbidden:/usr/sbin/gatepost \
    /usr/sbin/gatepost "${acts[@]}"
journalctl --sync
journalctl -u forbidden -o cat >$work/confined
for act in "${acts[@]}"; do check "confined: $act fails" grep -q "^$act refused" $work/confined; done
some_denied() { [ "$(denials | wc -l)" -ge 3 ] || { denials; tail -5 /var/log/audit/audit.log; return 1; }; }
check "and the audit log tells" some_denied
echo "measured: $(denials | wc -l) denials in the end, $SECONDS s in the guest, mail: $(cat $work/counts)"
exit 0
