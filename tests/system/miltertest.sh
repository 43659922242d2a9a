#!/bin/bash
# gatepost against OpenDKIM's miltertest, an MTA side that nobody here wrote, over TCP and a Unix socket.
source "$(dirname "$0")/lib.sh"
source "$here/dns.sh"

# run_script SOCKET LABEL SCRIPT: its cases; a script that ends early is a failure.
run_script() {
    miltertest -s "$here/miltertest/$3.lua" -D "suite=$suite: $3 ($2)" -D "socket=$1" \
        -D "log=$gatepost_log" -D "dir=$here/miltertest" 2>&1 || fail "$3 ($2): miltertest ran to the end"
}

start_dns
for script in negotiation connect mail rcpt; do
    mapfile -t settings < <(sed -n 's/^-- set //p' "$here/miltertest/$script.lua")
    start_gatepost "$script" "${settings[@]}"
    run_script inet:11332@127.0.0.1 tcp "$script"
    run_script "unix:$work/run/milter.sock" unix "$script"
    stop_gatepost "$script"
done
hunt_for_key
exit 0
