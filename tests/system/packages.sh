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
# What is built from the same tree at the same time of the last change is the same to the last octet.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml)}
export SOURCE_DATE_EPOCH
for release in 1 2; do
    cargo deb --quiet --no-build --strip --deb-revision $release --output "$out/deb/"
done
mkdir "$out/again"
cargo deb --quiet --no-build --strip --deb-revision 2 --output "$out/again/"

"$here/tree.sh" bookworm-postfix bookworm systemd systemd-sysv dbus postfix rbldnsd python3 iproute2 procps passwd >/dev/null
