# What the system suites share: the private world a suite runs in, the daemon under test, verdicts.
# Sourced by the suites, which tests/run starts as process 1 of new namespaces: when a suite ends,
# the kernel ends everything it started.
# shellcheck shell=bash
set -uo pipefail
: "${target:?is set by tests/run}" "${results:?is set by tests/run}"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
suite=$(basename "$0" .sh)
gatepost=$target/release/gatepost

# Two account keys, as long as real ones.  The second has listings of its own.
key=k3y7q2xw9vbn4mz8lp5tr6hs1d
key2=m8d2f6c1j9e4h7g5b3a0n2p6qz

# The processes run as several accounts, so everything lives where each of them may go; and Sendmail
# trusts no socket below a directory that is writable by all, such as /tmp.
work=$(mktemp -d --tmpdir=/run --suffix="-gatepost-$suite")
chmod 755 "$work"
mkdir "$work/log"
trap 'leave' EXIT

leave() {
    local status=$?
    mkdir -p "$results/$suite"
    cp -r "$work/log/." "$results/$suite/"
    rm -rf "$work"
    exit $status
}

# shellcheck source=tests/system/verdicts.sh
source "$here/verdicts.sh"

# The world: loopback only, a host name with a dot, no resolver but a dead one.
make_world() {
    ip link set lo up
    hostname mx.test.example
    printf '127.0.0.1 mx.test.example localhost\n::1 localhost\n' >"$work/hosts"
    printf 'nameserver 127.0.0.1\noptions attempts:1 timeout:1\n' >"$work/resolv.conf"
    mount --make-rprivate /
    mount --bind "$work/hosts" /etc/hosts
    mount --bind "$work/resolv.conf" "$(realpath /etc/resolv.conf)"
}

# start_gatepost NAME [VARIABLE=VALUE...]: SPAMHAUS_DQS_ is put before each variable.  The key comes
# by the env file, as most installations have it; lists and rules by the TOML file that $toml names, if it
# names one.  Sets gatepost_pid and gatepost_log.
start_gatepost() {
    local name=$1 settings=() setting options=(); shift
    if [ -n "${toml:-}" ]; then
        sed "s|@work@|$work|g" "$toml" >"$work/gatepost.toml"; chmod 644 "$work/gatepost.toml"
        if [ -e "${toml%.toml}.map" ]; then install -D -m 644 "${toml%.toml}.map" "$work/maps/access"; fi
        options=(--config "$work/gatepost.toml")
    fi
    for setting in "$@"; do settings+=("SPAMHAUS_DQS_$setting"); done
    gatepost_log=$work/log/gatepost-$name.log
    printf 'SPAMHAUS_DQS_API_KEY=%s\n' "$key" >"$work/gatepost.env"
    chgrp nogroup "$work/gatepost.env"; chmod 640 "$work/gatepost.env"
    # The socket is for its owner and group alone; the group comes from the directory.
    mkdir -p "$work/run"; chown nobody:postfix "$work/run"; chmod 2755 "$work/run"
    env -i PATH="$PATH" \
        SPAMHAUS_DQS_ENV_FILE="$work/gatepost.env" \
        SPAMHAUS_DQS_LISTEN="inet:11332@127.0.0.1, unix:$work/run/milter.sock" \
        SPAMHAUS_DQS_NAMESERVERS=127.0.0.1:5353 \
        SPAMHAUS_DQS_USER=nobody \
        SPAMHAUS_DQS_LOG_LEVEL=DEBUG \
        "${settings[@]}" \
        "$gatepost" run "${options[@]}" >>"$gatepost_log" 2>&1 &
    gatepost_pid=$!
    await 10 started
    grep -q 'event=ready' "$gatepost_log" ||
        die "gatepost is ready ($name)" "$(tail -5 "$gatepost_log")"
}

started() { grep -q 'event=ready' "$gatepost_log" || gone "$gatepost_pid"; }

# stop_gatepost: a clean end is a case of its own.
stop_gatepost() {
    kill -TERM "$gatepost_pid" 2>/dev/null
    if ! await 20 gone "$gatepost_pid"; then
        fail "gatepost ends on SIGTERM ($1)" "still running after 20 s"
        kill -KILL "$gatepost_pid"
    fi
    wait "$gatepost_pid"
    local status=$?
    if [ $status -eq 0 ]; then ok "gatepost ends with status 0 ($1)"
    else fail "gatepost ends with status 0 ($1)" "status $status" "$(tail -3 "$gatepost_log")"; fi
}

gone() { ! kill -0 "$1" || [ "$(awk '{ print $3 }' "/proc/$1/stat")" = Z ]; }

# The key may be in nothing that gatepost, the mail server or an SMTP client wrote.
hunt_for_key() {
    local word
    for word in "$key" "$key2"; do
        check "the key ${word:0:3}... appears in no log and no reply" \
            none_of -rila -- "$word" "$work/log"
    done
    check "gatepost never panicked" none_of -ran "panicked at" "$work/log"
}

# play MTA PORT SINK FILE: starts gatepost with the file's settings, and the TOML file beside it if there is one,
# and plays its conversations.
play() {
    local mta=$1 port=$2 sink=$3 file=$4 name settings toml=${4%.txt}.toml
    [ -e "$toml" ] || toml=
    name=$(basename "$file" .txt)-$port
    mapfile -t settings < <(python3 "$here/smtp.py" settings "$file")
    start_gatepost "$name" "${settings[@]}"
    python3 "$here/smtp.py" play --mta "$mta" --port "$port" --sink "$sink" --queue "$work/$mta/queue" --suite "$suite" \
        --log "$gatepost_log" --pid "$gatepost_pid" --env-file "$work/gatepost.env" \
        --queries "$work/queries/5353" --key "$key" --key2 "$key2" --map "$work/maps/access" --transcript "$work/log/smtp-$name.txt" "$file" ||
        [ $? -eq 1 ] || fail "$name: smtp.py plays to the end"
    stop_gatepost "$name"
}

[ -x "$gatepost" ] || die "gatepost is built" "$gatepost is missing"
make_world
