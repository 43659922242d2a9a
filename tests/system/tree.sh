#!/bin/bash
# tree.sh NAME SUITE PACKAGE...: a minimal Debian tree that systemd-nspawn can boot, kept in the cache.
# It is made anew when this file or the list of packages changes; nothing that a test does gets into it.
set -euo pipefail
cache=${GATEPOST_TEST_CACHE:-${XDG_CACHE_HOME:-/var/cache}/gatepost-tests}
name=$1 suite=$2; shift 2
tree=$cache/$name
stamp=$(cat "$0" <(printf '%s\n' "$suite" "$@") | sha256sum | cut -d' ' -f1)
if [ "$(cat "$tree.stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "making $tree" >&2
    mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)}
    rm -rf "$tree" "$tree.stamp"
    mkdir -p "$cache"
    include=$(IFS=,; echo "$*")
    # The shell in the hooks is mmdebstrap's.
    # shellcheck disable=SC2016
    mmdebstrap --quiet --mode=root --variant=minbase --include="$include" --skip=check/empty \
        --aptopt='Apt::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-include=/usr/share/doc/gatepost/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-include=/usr/share/man/*gatepost*' \
        --essential-hook='echo mx.test.example >"$1/etc/mailname"' \
        --customize-hook='echo mx.test.example >"$1/etc/hostname"' \
        --customize-hook='printf "127.0.0.1 mx.test.example localhost\n::1 localhost\n" >"$1/etc/hosts"' \
        --customize-hook='rm -f "$1/etc/resolv.conf"; echo "nameserver 127.0.0.1" >"$1/etc/resolv.conf"' \
        --customize-hook='chroot "$1" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service getty.target console-getty.service systemd-networkd-wait-online.service' \
        --customize-hook='chroot "$1" systemctl disable postfix.service rbldnsd.service sendmail.service >/dev/null 2>&1 || true' \
        "$suite" "$tree" "$mirror" >&2
    echo "$stamp" >"$tree.stamp"
fi
echo "$tree"
