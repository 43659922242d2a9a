# A private Postfix: own configuration, queue and data, no chroot, loopback only, a smtp-sink behind it.
# shellcheck shell=bash
# One smtpd for each way to the filter: TCP, Unix socket, older versions of the protocol; and one for the
# library's example filter.
tcp=2525 unix=2526 version2=2527 version3=2528 version4=2529 actions=2530 sink=2600
load_clean=8.8.3.200 load_listed=8.8.2.3

make_postfix() {
    local dir=$work/postfix
    mkdir -p "$dir"/{etc,queue,data} "$work/log/mail" "$work/sink"
    chmod 755 "$dir" "$dir/etc"
    chown postfix "$dir/data" "$work/sink"
    cat >"$dir/etc/main.cf" <<C
compatibility_level = 3.6
queue_directory = $dir/queue
data_directory = $dir/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = $work/log/mail/maillog
maillog_file_prefixes = $work
myhostname = mx.test.example
mydestination =
local_recipient_maps =
relay_domains = example.org
mynetworks = 127.0.0.0/8
inet_interfaces = all
inet_protocols = all
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
relayhost = [127.0.0.1]:$sink
smtpd_relay_restrictions = reject_unauth_destination
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_error_sleep_time = 0
smtpd_milters = inet:127.0.0.1:11332
non_smtpd_milters = inet:127.0.0.1:11332
milter_protocol = 6
milter_default_action = tempfail
milter_connect_timeout = 5s
C
    cat >"$dir/etc/master.cf" <<C
127.0.0.1:$tcp inet n - n - - smtpd
127.0.0.1:$unix inet n - n - - smtpd -o smtpd_milters=unix:$work/run/milter.sock
127.0.0.1:$version2 inet n - n - - smtpd -o milter_protocol=2
127.0.0.1:$version3 inet n - n - - smtpd -o milter_protocol=3
127.0.0.1:$version4 inet n - n - - smtpd -o milter_protocol=4
127.0.0.1:$actions inet n - n - - smtpd -o smtpd_milters=inet:127.0.0.1:11333
$load_clean:$tcp inet n - n - - smtpd
$load_listed:$tcp inet n - n - - smtpd
postlog   unix-dgram n - n - 1 postlogd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
tlsmgr    unix - - n 1000? 1 tlsmgr
C
    # A client may have any local address; a connection to such an address also comes from it.
    ip addr add $load_clean/32 dev lo
    ip addr add $load_listed/32 dev lo
    smtp-sink -u postfix -d "$work/sink/%H%M%S." 127.0.0.1:$sink 1000 >"$work/sink.out" 2>&1 &
    postfix -c "$dir/etc" start >"$work/log/postfix-start.txt" 2>&1 || die "Postfix starts" "$(cat "$work/log/postfix-start.txt")"
    await 10 listens $sink || die "smtp-sink listens" "$(cat "$work/sink.out")"
    await 10 listens $tcp || die "Postfix listens" "$(cat "$work/log/mail/maillog")"
}

in_sink() { grep -rqF -- "$1" "$work/sink"; }
sunk() { grep -rlF -- "$1" "$work/sink" | wc -l; }
