#!/bin/bash
# AppArmor profiles and SELinux module without a kernel that enforces them: they compile, and Debian's whole
# policy with the module linked in allows what it must and nothing of what it must not (selinux.txt).
source "$(dirname "$0")/lib.sh"
root=$(realpath "$here/../..")
profile=$root/apparmor/usr.sbin.gatepost
policy=$results/unpacked-selinux
# Not the python3 of the PATH, which may be another: setools belongs to Debian's.
python=/usr/bin/python3

parses() {
    local out
    # A kernel without AppArmor costs it one line about the cache.
    out=$(apparmor_parser -QK "$@" 2>&1) && [ -z "$(grep -v '^Cache read/write disabled' <<<"$out")" ] ||
        { echo "$out"; return 1; }
}
names() { [ "$(apparmor_parser -N "$profile" | sort | xargs)" = "gatepost gatepost-metrics-exporter" ]; }
asked() { grep -qx "AppArmorProfile=-$1" "$root/systemd/$1.service"; }
# An administrator's own lines come in, and they count: a broken one is told.
local_lines() {
    mkdir -p "$work/apparmor/local"
    cp -r /etc/apparmor.d/abi /etc/apparmor.d/abstractions /etc/apparmor.d/tunables "$work/apparmor/"
    echo '/srv/gatepost/** r,' >"$work/apparmor/local/usr.sbin.gatepost"
    parses --base "$work/apparmor" "$profile" || return 1
    echo 'nonsense' >"$work/apparmor/local/usr.sbin.gatepost"
    ! parses --base "$work/apparmor" "$profile"
}
check "the AppArmor profiles parse" parses "$profile"
check "their names are those that the units ask for" names
for unit in gatepost gatepost-metrics-exporter; do check "$unit.service asks for its profile" asked $unit; done
check "local/usr.sbin.gatepost is read" local_lines
# The places that gatepost-access(5) promises.
in_reach() { apparmor_parser -p "$profile" 2>/dev/null | sed '/^profile gatepost-metrics/,$d' | grep -qxF "  $1"; }
while read -r rule; do check "the profile of the daemon has: $rule" in_reach "$rule"; done <<'R'
/etc/gatepost/{,**} r,
/etc/mail/{,**} r,
/etc/postfix/{,*access*} r,
/var/lib/gatepost/{,**} rwk,
@{run}/maps/{,**} rw,
R

check "the SELinux module compiles against Debian's headers" sh "$root/selinux/build.sh" "$work/module" default
[ -e "$work/module/gatepost.pp" ] || exit 1

# Fedora's headers are not here: by the names that its policy defines.
headers=/usr/share/selinux/devel/include
$python "$here/interfaces.py" check "$suite" "$root/selinux" $headers || [ $? -eq 1 ] ||
    fail "interfaces.py reads the module to its end"
invented() {
    cp -r "$root/selinux" "$work/invented"
    # One that nobody has, and one that only Debian has, without asking for it.
    printf '%s\n' 'no_such_interface(gatepost_milter_t)' 'init_unit_file(gatepost_unit_file_t)' >>"$work/invented/gatepost.te"
    [ "$($python "$here/interfaces.py" check x "$work/invented" $headers | grep -c '^    ')" -eq 4 ]
}
check "a call that one of the policies does not know is told" invented

# What semodule would do, without installing a policy on this machine.
link() {
    local file hll=/usr/libexec/selinux/hll/pp
    mkdir "$work/cil"
    for file in "$policy"/usr/share/selinux/default/*.pp.bz2; do
        bzcat "$file" | $hll >"$work/cil/$(basename "$file" .pp.bz2).cil" 2>/dev/null || { echo "$file"; return 1; }
    done
    $hll <"$work/module/gatepost.pp" >"$work/cil/gatepost.cil" || return 1
    secilc -m -M true -c 33 -o "$work/policy" -f "$work/file_contexts" "$work"/cil/*.cil
}
check "it links into Debian's policy" link
[ -e "$work/policy" ] || exit 1

$python "$here/selinux.py" "$suite" "$work/policy" "$here/selinux.txt" || [ $? -eq 1 ] ||
    fail "selinux.py reads the policy to its end"
# A table that is not read, or a reader that is always content, would look the same.
doubts() {
    printf '%s\n' 'allow gatepost_milter_t shadow_t file read' 'deny gatepost_milter_t gatepost_etc_t file read' \
        'transition init_t bin_t process gatepost_milter_t' >"$work/false"
    [ "$($python "$here/selinux.py" x "$work/policy" "$work/false" | grep -c '^FAIL')" -eq 3 ]
}
check "what is not so is told" doubts

# label TYPE MODE PATH
labelled() {
    local out; out=$(matchpathcon -n -f "$work/file_contexts" -m "$2" "$3") && [[ $out == *:"$1":* ]] || { echo "$out"; return 1; }
}
while read -r type mode path; do check "$path is $type" labelled "$type" "$mode" "$path"; done <<L
gatepost_milter_exec_t file /usr/sbin/gatepost
gatepost_milter_exec_t file /usr/bin/gatepost
gatepost_etc_t file /etc/gatepost/gatepost.toml
gatepost_secret_t file /etc/gatepost/dqs-key
gatepost_secret_t file /etc/credstore.encrypted/gatepost.dqs-key
gatepost_milter_data_t socket /run/gatepost/milter.sock
gatepost_milter_data_t socket /var/spool/postfix/gatepost/milter.sock
gatepost_control_t socket /run/gatepost/control.sock
gatepost_metrics_t socket /run/gatepost/metrics.sock
gatepost_var_lib_t dir /var/lib/gatepost
gatepost_unit_file_t file /usr/lib/systemd/system/gatepost.service
L
exit 0
