# DNS of the suites: real name servers on loopback with zones shaped as Spamhaus DQS serves them.
# rbldnsd speaks UDP only, which is what makes the Unbound variant worth having.
# shellcheck shell=bash
#
#   5353  rbldnsd with the listings of tests/system/zones, for both keys; and lists beside those of DQS,
#         below list.example
#   5354  Unbound in front of it, as a site's own resolver would be
#   5363  rbldnsd that answers each question with 127.255.255.254: "public resolver"
#   5373  takes questions and never answers
# Nothing listens on 5383.  Every question is logged in $work/queries/PORT, which holds the key and is
# therefore none of the logs that are kept.

start_dns() {
    local zen=zen.dq.spamhaus.net dbl=dbl.dq.spamhaus.net zrd=zrd.dq.spamhaus.net zones=$work/zones
    local authbl=authbl.dq.spamhaus.net
    cp -r "$here/zones" "$zones"
    mkdir "$work/queries"; chown nobody "$work/queries"
    chmod -R a+rX "$zones"
    serve 5353 \
        "$key.$zen:ip4set:zen4" "$key.$zen:ip6trie:zen6" "$key.$dbl:dnset:dbl" "$key.$zrd:dnset:zrd" \
        "$key.$authbl:ip4set:authbl4" own.list.example:ip4set:own4 friends.list.example:ip4set:friends4 \
        "$key2.$zen:ip4set:zen4" "$key2.$zen:ip6trie:zen6" "$key2.$dbl:dnset:dbl,dbl-second-key" "$key2.$zrd:dnset:zrd"
    serve 5363 \
        "$key.$zen:ip4trie:error4" "$key.$zen:ip6trie:error6" "$key.$dbl:dnset:error" "$key.$zrd:dnset:error"
    cat >"$work/unbound.conf" <<C
server:
    directory: "$work"
    chroot: ""
    username: ""
    pidfile: "$work/unbound.pid"
    use-syslog: no
    logfile: "$work/unbound.log"
    interface: 127.0.0.1@5354
    do-not-query-localhost: no
    module-config: "iterator"
    root-hints: ""
stub-zone:
    name: dq.spamhaus.net
    stub-addr: 127.0.0.1@5353
remote-control:
    control-enable: no
C
    unbound -d -c "$work/unbound.conf" 2>"$work/unbound.err" &
    python3 "$here/silent.py" 5373 &
    await 10 answers 5353 2.0.0.127 zen 127.0.0.2 || die "rbldnsd answers" "$(cat "$work/rbldnsd-5353.err")"
    await 10 answers 5363 1.2.3.4 zen 127.255.255.254 || die "rbldnsd answers errors" "$(cat "$work/rbldnsd-5363.err")"
    await 10 answers 5354 dbltest.com dbl 127.0.1.2 || die "Unbound answers" "$(cat "$work/unbound.err" "$work/unbound.log")"
}

# serve PORT ZONE:TYPE:FILE...
serve() {
    local port=$1; shift
    (cd "$work/zones" && exec rbldnsd -n -f -l "+$work/queries/$port" -u nobody -w "$work/zones" -b "127.0.0.1/$port" "$@") \
        >"$work/rbldnsd-$port.out" 2>"$work/rbldnsd-$port.err" &
}

# answers PORT SUBJECT ZONE ADDRESS
answers() {
    dig +short +tries=1 +time=1 -p "$1" @127.0.0.1 "$2.$key.$3.dq.spamhaus.net" | grep -qxF "$4"
}
