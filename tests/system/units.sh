#!/bin/bash
# The units, without starting them: what systemd says to their text, and how exposed the services are.
source "$(dirname "$0")/lib.sh"
units=$here/../../systemd
tree=$work/tree

mkdir -p "$tree"/{etc,usr/lib/systemd/system,usr/lib/sysusers.d,usr/sbin}
cp "$units"/*.service "$units"/*.socket "$tree/usr/lib/systemd/system/"
cp "$units/gatepost.sysusers" "$tree/usr/lib/sysusers.d/gatepost.conf"
install -m 755 "$gatepost" "$tree/usr/sbin/gatepost"

# The programs and the manual are looked for in the running system: units that say where they are in the tree.
verify() {
    local unit out; mkdir -p "$work/verify"
    for unit in "$units"/*.service "$units"/*.socket; do
        sed -e "s#^\(Exec[A-Za-z]*=!\{0,1\}\)/usr/sbin/gatepost#\1$tree/usr/sbin/gatepost#" -e '/^Documentation=/d' \
            "$unit" >"$work/verify/$(basename "$unit")"
    done
    out=$(systemd-analyze verify --man=no "$work"/verify/* 2>&1) && [ -z "$out" ] || { echo "$out"; return 1; }
}
check "systemd-analyze verify has nothing to say" verify
for unit in gatepost gatepost-metrics-exporter; do
    check "$unit.service: exposure of at most 0.9" \
        systemd-analyze security --offline=true --threshold=9 --no-pager "$units/$unit.service"
done

accounts() {
    systemd-sysusers --root="$tree" "$tree/usr/lib/sysusers.d/gatepost.conf" || return 1
    grep -q '^gatepost:' "$tree/etc/passwd" && grep -q '^gatepost-exporter:' "$tree/etc/passwd" && grep -q '^gatepost-admin:' "$tree/etc/group"
}
check "systemd-sysusers makes the accounts" accounts

# The journal's catalog: what `journalctl -x` shows for each id.
catalog() {
    local ids; ids=$(grep -c '^-- ' "$units/gatepost.catalog")
    mkdir -p "$tree/usr/lib/systemd/catalog" "$tree/var/lib/systemd/catalog"
    cp "$units/gatepost.catalog" "$tree/usr/lib/systemd/catalog/"
    journalctl --root="$tree" --update-catalog || return 1
    [ "$(journalctl --root="$tree" --list-catalog | grep -c '[0-9a-f]\{32\} gatepost: ')" -eq "$ids" ]
}
check "journalctl --update-catalog takes the catalog" catalog
exit 0
