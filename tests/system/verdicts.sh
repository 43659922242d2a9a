# How a case is told: for the suites and for the scripts that run inside a container.
# shellcheck shell=bash

ok() { echo "ok $suite: $1"; }
fail() { echo "FAIL $suite: $1"; shift; [ $# -eq 0 ] || printf '%s\n' "$@" | sed 's/^/    /'; }

# check TITLE COMMAND...: one case; the command's output explains a failure.
check() {
    local title=$1 out; shift
    if out=$("$@" 2>&1); then ok "$title"; else fail "$title" "$out"; fi
}

die() { fail "$@"; exit 1; }

# await SECONDS COMMAND...: until the command succeeds.
await() {
    local end=$((SECONDS + $1 + 1)); shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

# Looks without connecting: a mail server would open a filter connection for it.
listens() { ss -Hltn "sport = :$1" | grep -q .; }
none_of() { ! grep "$@"; }
