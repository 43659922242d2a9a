#!/bin/bash
# The Debian package: what it is, and its whole life on a booted Debian with Postfix.
source "$(dirname "$0")/lib.sh"
source "$here/container.sh"
packages=$results/packages/deb

same() {
    local one any=
    for one in "$results/packages/2/"*."$1"; do
        cmp "$one" "$results/packages/again/${one##*/}" || return 1
        any=1
    done
    [ -n "$any" ]
}
for kind in deb rpm; do check "two builds of the .$kind are the same to the last octet" same $kind; done
check "lintian" lintian --fail-on error,warning --allow-root --suppress-tags-from-file "$here/lintian.txt" "$packages"/gatepost_*-2_*.deb
clean() { sh -n "$1" && shellcheck -s sh -S warning "$1"; }
for script in postinst prerm postrm; do check "debian/$script is plain sh" clean "$here/../../debian/$script"; done

for release in bookworm trixie; do
    echo "-- $release"
    boot "$cache/$release-postfix" deb --bind-ro="$packages:/packages"
done
boot "$cache/bookworm-postfix" order --bind-ro="$packages:/packages"
exit 0
