#!/bin/bash
# The library against the real libmilter: two filters with the same callbacks hear the same conversations, in
# the manner of Postfix and of Sendmail and of every version, and must answer with the same octets.
# libmilter/compare.py has the list of what is evened out, libmilter/differences.py what differs on purpose.
source "$(dirname "$0")/lib.sh"

twin=$target/release/examples/twin
[ -x "$twin" ] || die "the twin is built" "$twin is missing"
gcc -O2 -Wall -Wextra -Werror -o "$work/filter" "$here/libmilter/filter.c" -lmilter -lpthread 2>"$work/log/gcc.txt" ||
    die "filter.c compiles" "$(cat "$work/log/gcc.txt")"
# -B: the sources may belong to somebody else than root.
timeout -k 5 120 python3 -B "$here/libmilter/compare.py" --suite "$suite" --filter "$work/filter" --twin "$twin" \
    --directory "$work" 2>&1 || fail "compare.py ran to the end"
exit 0
