#!/bin/bash
# The whole life of the .rpm: install from a repository, mail, upgrade, a broken configuration, erasure.
source /tests/inside/lib.sh

# dnf LABEL ARGUMENT...: with nothing but our repository, in the state of that release.
dnf() {
    local release=$1; shift
    mkdir -p /etc/yum.repos.d
    printf '[local]\nname=local\nbaseurl=file:///packages/repo%s\ngpgcheck=0\n' "$release" >/etc/yum.repos.d/local.repo
    command dnf --assumeyes --releasever 1 --disableplugin='*' --setopt=metadata_expire=0 "$@"
}

start_lists
start_postfix
# The other package of the repository says what this system has.
check "dnf install" dnf 1 install gatepost
check "the accounts are there" getent passwd gatepost gatepost-exporter
check "the sockets are enabled" systemctl is-enabled gatepost.socket gatepost-control.socket gatepost-metrics.socket
check "gatepost key set" gatepost key set <<<"$key"
check "systemctl start gatepost" systemctl start gatepost
check "starts the sockets as well" systemctl is-active gatepost.socket gatepost-control.socket gatepost-metrics.socket
check "gatepost mta postfix --apply" gatepost mta postfix --apply
check "clean mail comes in" says 8.8.3.1 u@clean.example 250 ""
check "a listed client is refused" says 8.8.2.2 u@clean.example 554 "blocked by Spamhaus SBL"
check "Postfix may open the socket" test "$(stat -c '%U %G %a' /var/spool/postfix/gatepost/milter.sock)" = "root postfix 660"

socket=/var/spool/postfix/gatepost/milter.sock
before=$(inode $socket) pid=$(main_pid)
sed -i 's/^#threads = 1/threads = 2/' /etc/gatepost/gatepost.toml
check "dnf upgrade" dnf 2 upgrade gatepost
new_release() { dnf 2 list --installed gatepost | grep -E '^gatepost.* [0-9.]+-2 '; }
check "it is the new release" new_release
check "an upgrade restarts the service" test "$(main_pid)" != "$pid"
check "an upgrade leaves the socket" test "$(inode $socket)" = "$before"
check "an upgrade keeps the configuration" grep -qx 'threads = 2' /etc/gatepost/gatepost.toml
check "and mail is filtered as before" says 8.8.2.2 u@clean.example 554 "blocked by Spamhaus SBL"

pid=$(main_pid)
sed -i 's/^stage = .*/stage = "nonsense"/' /etc/gatepost/gatepost.toml
broken() { dnf 1 downgrade gatepost >$work/broken 2>&1; }
check "a broken configuration does not break the transaction" broken
check "it is told with its place" grep -q 'gatepost.toml:.*nonsense' $work/broken
check "the old process is kept" test "$(main_pid)" = "$pid"
sed -i 's/^stage = .*/stage = "mail"/' /etc/gatepost/gatepost.toml

# Root can read it, the account cannot: the new process could not start.
mkdir -p /etc/gatepost/gatepost.toml.d
(umask 077; echo 'observe = false' >/etc/gatepost/gatepost.toml.d/local.toml)
unreadable() { dnf 2 upgrade gatepost >$work/unreadable 2>&1; }
check "a file that the account cannot read does not break the transaction" unreadable
check "it is told with its remedy" grep -q 'local.toml: gatepost, .*; chgrp gatepost .*local.toml && chmod' $work/unreadable
check "and the old process is kept" test "$(main_pid)" = "$pid"
rm -r /etc/gatepost/gatepost.toml.d

postconf -# smtpd_milters
systemctl reload postfix
check "dnf remove" dnf 2 remove gatepost
check "erased: no unit, no socket" test ! -e /usr/lib/systemd/system/gatepost.service -a ! -e /run/gatepost -a ! -e /var/spool/postfix/gatepost
check "erased: a changed configuration is kept aside" test -e /etc/gatepost/gatepost.toml.rpmsave
check "erased: nothing is enabled" test -z "$(find /etc/systemd/system -name 'gatepost*')"
exit 0
