# A booted Debian: systemd as process 1 of a container, with everything that a package may rely on.
# shellcheck shell=bash
#
# The tree stays as it is, all changes are in memory and go with the container. Not there: MemoryMax= and
# TasksMax= (the machine's control groups), AppArmor, SELinux (its kernel).

cache=${GATEPOST_TEST_CACHE:-${XDG_CACHE_HOME:-/var/cache}/gatepost-tests}

# boot TREE SCRIPT [nspawn argument...]: runs tests/system/inside/SCRIPT in a booted TREE. Its output comes to
# standard output, and the journal to $work/log/TREE-SCRIPT.journal.
boot() {
    local tree=$1 script=$2 name status out; shift 2
    name=$(basename "$tree")-$script
    out=$results/boot-$name
    rm -rf "$out"; mkdir -p "$out/unit"
    cat >"$out/unit/inside.service" <<U
[Unit]
Description=Test script
After=multi-user.target
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
Environment=HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
StandardOutput=file:/outside/log
StandardError=inherit
ExecStart=/bin/bash /tests/inside/$script.sh
ExecStopPost=/bin/sh -c 'journalctl -b -o short-precise --no-pager >/outside/journal'
TimeoutStartSec=${BOOT_TIMEOUT:-240}
U
    # nspawn wants a /run in memory; the bare minimum of rights would distort IPAddressDeny= and SystemCallFilter=.
    # shellcheck disable=SC2016
    timeout --kill-after=10 $((${BOOT_TIMEOUT:-240} + 60)) unshare --mount --propagation private bash -c '
        mount -t tmpfs -o mode=755 tmpfs /run
        export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
        exec systemd-nspawn --quiet --boot --volatile=overlay --private-network --link-journal=no --register=no \
            --keep-unit --console=pipe --capability=all --system-call-filter="bpf perf_event_open @keyring landlock_create_ruleset landlock_add_rule landlock_restrict_self" "$@"
    ' nspawn --directory="$tree" --bind="$out:/outside" --bind-ro="$here:/tests" \
        --bind-ro="$out/unit/inside.service:/etc/systemd/system/inside.service" "$@" \
        systemd.wants=inside.service systemd.log_level=notice quiet </dev/null >"$out/console" 2>&1
    status=$?
    cat "$out/log" 2>/dev/null
    cp "$out/journal" "$work/log/$name.journal" 2>/dev/null
    cp "$out/console" "$work/log/$name.console" 2>/dev/null
    if [ $status -eq 0 ]; then ok "$name ran to its end"
    else fail "$name ran to its end" "status $status" "$(tail -5 "$out/console")"; fi
}
