#!/bin/bash
# Emulated machines that enforce: SELinux, then AppArmor.
source "$(dirname "$0")/lib.sh"
source "$here/machine.sh"
root=$(realpath "$here/../..")

# The module as semodule installs it, before the boot: in the emulated machine it would take half a minute.
prepare() {
    sh "$root/selinux/build.sh" "$1/root" default || return 1
    chroot "$1" semodule -n -s default -i /root/gatepost.pp || return 1
    rm "$1/root/gatepost.pp"
}
check "the disk is made" make_disk "$cache/bookworm-vm" prepare
[ -e "$disk/root" ] || exit 1

payload=$work/payload
mkdir -p "$payload/packages" "$payload/tests"
cp -r "$here/inside" "$here/zones" "$here/verdicts.sh" "$payload/tests/"
cp "$results"/packages/deb/gatepost_*-2_*.deb "$payload/packages/"
check "the program that tries what is forbidden is built" gcc -static -O1 -o "$payload/tests/forbidden" "$here/forbidden.c"

emulate selinux "$payload" "confined.sh selinux" security=selinux selinux=1 enforcing=1
emulate apparmor "$payload" "confined.sh apparmor" security=apparmor apparmor=1
rm -rf "$disk"
exit 0
