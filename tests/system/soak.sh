#!/bin/bash
# Mixed traffic for $minutes minutes, with reloads, restarts, new files, outages and hostile peers: every answer is judged,
# and nothing may grow. `tests/soak 60` runs this for an hour; write=1 puts what came of it into docs/reliability.md.
source "$(dirname "$0")/lib.sh"

minutes=${minutes:-1}
# The daemon runs as nobody, who may not get to where the sources are.
install -d -m 755 "$work/run"
install -m 755 "$gatepost" "$work"
# -B: the sources may belong to somebody else than root. The system's own Python has the Debian packages.
/usr/bin/python3 -B "$here/soak/play.py" --suite "$suite" --key "$key" --key2 "$key2" --minutes "$minutes" \
    --program "$work/gatepost" --directory "$work/run" --log "$work/log" --page "$here/../../docs/reliability.md" \
    ${write:+--write} ${rate:+--rate "$rate"} ${seed:+--seed "$seed"} 2>&1 || fail "play.py ends well"
hunt_for_key
exit 0
