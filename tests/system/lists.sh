#!/bin/bash
# gatepost's tables against rbldnsd: both read the same files, and must give the same answers.
# lists/compare.py makes most of the files; those in lists/files/ are written by hand, named after their format.
source "$(dirname "$0")/lib.sh"

answers=$target/release/examples/answers
[ -x "$answers" ] || die "the program that answers is built" "$answers is missing"
# -B: the sources may belong to somebody else than root.
timeout -k 5 600 python3 -B "$here/lists/compare.py" --suite "$suite" --answers "$answers" --files "$here/lists/files" \
    --directory "$work" 2>&1 || fail "compare.py ran to the end"
exit 0
