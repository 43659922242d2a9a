#!/bin/sh
# build.sh DIRECTORY [POLICY]: compiles the module against this system's policy headers (selinux-policy-devel,
# on Debian selinux-policy-dev) into DIRECTORY/gatepost.pp. Modules belong to the policy they are compiled for:
# one for Debian is none for Fedora.
set -e
out=$1 name=${2:-}
sources=$(cd "$(dirname "$0")" && pwd)
devel=/usr/share/selinux/devel/Makefile
if [ ! -e $devel ]; then
    echo "selinux/build.sh: $devel is missing; install selinux-policy-dev (Debian) or selinux-policy-devel (Fedora)" >&2
    exit 69
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$sources/gatepost.te" "$sources/gatepost.fc" "$sources/gatepost.if" "$work/"
make -s -C "$work" -f $devel ${name:+NAME="$name"} gatepost.pp >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 65; }
mkdir -p "$out"
cp "$work/gatepost.pp" "$out/gatepost.pp"
