#!/bin/bash
# The rpm package: what it is, and its life with dnf and a local repository. The system is a Debian that says in
# rpm's terms what it has: names and versions of Fedora's own packages are not tried.
source "$(dirname "$0")/lib.sh"
source "$here/container.sh"
packages=$results/packages

clean() { sh -n "$1" && shellcheck -s sh -S warning "$1"; }
for script in post preun postun; do check "rpm/$script.sh is plain sh" clean "$here/../../rpm/$script.sh"; done
listed() { rpm --query --package --"$1" "$packages"/rpm/gatepost-*-2.*.rpm | grep -xE "$2" >/dev/null; }
check "the configuration is kept on upgrades" listed configfiles /etc/gatepost/gatepost.toml
for page in gatepost.8 gatepost.conf.5 gatepost-policy.5 gatepost-access.5 gatepost-postfix.7 gatepost-sendmail.7; do
    check "manual page $page is there" listed docfiles "/usr/share/man/man${page##*.}/${page//./\\.}\.gz"
done
check "the cookbook is there" listed docfiles '/usr/share/doc/gatepost/examples/policies/mx\.toml'
check "with its lists" listed docfiles '/usr/share/doc/gatepost/examples/policies/lists/friends'
check "rpmlint" rpmlint --strict --config "$here/../../rpm/rpmlint.toml" "$packages"/rpm/gatepost-*-2.*.rpm
check "the C library's version is required" listed requires 'libc\.so\.6\(GLIBC_2\.[0-9]+\)\(64bit\)'

boot "$cache/bookworm-rpm" rpm --bind-ro="$packages:/packages"
exit 0
