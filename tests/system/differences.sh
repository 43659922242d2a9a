#!/bin/bash
# gatepost against the Python milter that it replaces: some 500 sessions over the same DNS. Each difference must be on
# the list in differences/reasons.py and where differences/found.txt has it; docs/differences.md tells of them.
# `write=1 tests/run differences` writes page and file anew: look at what changed in them, answer by answer.
source "$(dirname "$0")/lib.sh"

# Both programs run as nobody, who may not get to where the sources are.
install -d -o nobody -g nogroup "$work/run"
install -m 755 "$gatepost" "$here/differences/python_milter.py" "$work"
# -B: the sources may belong to somebody else than root. The system's own Python has the Debian packages.
timeout -k 5 1000 /usr/bin/python3 -B "$here/differences/play.py" --suite "$suite" --key "$key" --programs "$work" \
    --directory "$work/run" --log "$work/log" --page "$here/../../docs/differences.md" ${write:+--write} 2>&1 ||
    fail "play.py ran to the end"
hunt_for_key
exit 0
