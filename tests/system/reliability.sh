#!/bin/bash
# Faults, one by one: each row of docs/reliability.md is played to the daemon and judged by what it must come to.
# `write=1 tests/run reliability` writes that page anew; `only=F3,F22 tests/run reliability` plays these rows.
#
# What needs a booted system is in the suite `faults`.
source "$(dirname "$0")/lib.sh"

# The daemon runs as nobody, who may not get to where the sources are.
install -d -m 755 "$work/run"
install -m 755 "$gatepost" "$work"
gcc -O2 -Wall -Werror -shared -fPIC -o "$work/asleep.so" "$here/reliability/asleep.c" || die "asleep.c compiles"
# -B: the sources may belong to somebody else than root. The system's own Python has the Debian packages.
timeout -k 5 600 /usr/bin/python3 -B "$here/reliability/play.py" --suite "$suite" --key "$key" --key2 "$key2" \
    --program "$work/gatepost" --asleep "$work/asleep.so" --directory "$work/run" --log "$work/log" --page "$here/../../docs/reliability.md" \
    ${write:+--write} ${only:+--only "$only"} 2>&1 || fail "play.py ran to the end"
hunt_for_key
exit 0
