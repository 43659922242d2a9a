#!/bin/bash
# Builds the packages twice, as two releases in a row, into $results/packages. Installs cargo-deb and
# cargo-generate-rpm if they are missing, and makes the trees that the container suites boot.
set -euo pipefail
: "${results:?is set by tests/run}" "${target:?is set by tests/run}"
here=$(realpath "$(dirname "$0")")
cd "$here/../.."
export CARGO_TARGET_DIR=$target

for tool in cargo-deb cargo-generate-rpm; do
    command -v $tool >/dev/null || cargo install --locked --debug --quiet $tool
done

out=$results/packages
rm -rf "$out"; mkdir -p "$out/deb" "$out/rpm"
./package 1 "$out/1"
./package 2 "$out/2"
./package 2 "$out/again"
cp "$out"/[12]/*.deb "$out/deb/"
mkdir "$out/deb/postfix"
(cd "$out/deb/postfix" && apt-get -qq -o APT::Sandbox::User=root download postfix)
cp "$out"/[12]/*.rpm "$out/rpm/"

base=(systemd systemd-sysv dbus postfix rbldnsd python3 iproute2 procps passwd)
for release in bookworm trixie; do "$here/tree.sh" $release-postfix $release "${base[@]}" >/dev/null; done
"$here/tree.sh" bookworm-vm bookworm "${base[@]}" udev kmod libpam-systemd linux-image-cloud-amd64 initramfs-tools zstd \
    apparmor apparmor-utils auditd selinux-policy-default selinux-utils policycoreutils >/dev/null
tree=$("$here/tree.sh" bookworm-rpm bookworm "${base[@]}" dnf libsqlite3-0)

# What the tree offers in rpm's terms, so that dnf finds, or misses, each thing that the package needs.
{
    printf '%s\n' 'Name: debian-tree' 'Version: 1' 'Release: 1' 'Summary: What a Debian tree offers' 'License: MIT' 'BuildArch: noarch'
    for file in /bin/sh /usr/bin/sh /usr/bin/awk /usr/sbin/useradd /usr/bin/systemctl /usr/bin/setpriv; do
        # Debian's awk is a link that leads out of the tree.
        [ ! -e "$tree$file" ] && [ ! -L "$tree$file" ] || echo "Provides: $file"
    done
    [ ! -e "$tree/usr/lib/systemd/systemd" ] || echo "Provides: systemd = $(dpkg-query --admindir="$tree/var/lib/dpkg" -f '${source:Upstream-Version}' -W systemd)"
    find "$tree/usr/lib/x86_64-linux-gnu" "$tree/lib/x86_64-linux-gnu" -maxdepth 1 \
        \( -name libc.so.6 -o -name 'libsqlite3.so.0*' -o -name libm.so.6 -o -name libgcc_s.so.1 -o -name 'ld-linux-*.so.2' \) |
        /usr/lib/rpm/find-provides | sort -u | sed 's/^/Provides: /'
    printf '%s\n' 'Provides: rtld(GNU_HASH)' '%description' 'For tests only.' '%files'
} >"$out/debian-tree.spec"
rpmbuild --quiet --define "_topdir $out/rpmbuild" --define "_rpmdir $out/rpm" \
    --define '_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm' -bb "$out/debian-tree.spec"
# Two states of a repository: before and after the second release.
mkdir "$out/repo1" "$out/repo2"
cp "$out/rpm"/*-1.*.rpm "$out/repo1/"
cp "$out/rpm"/*.rpm "$out/repo2/"
for repo in "$out/repo1" "$out/repo2"; do createrepo_c --quiet "$repo"; done
