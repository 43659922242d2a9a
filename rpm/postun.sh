# $1 is 0 for a removal and 1 for an upgrade. Only the service is restarted, never a socket, and only if the new
# program accepts the configuration, with the credential that the running one has: as root, who is told what the settings'
# account cannot read, and then as the account that the unit starts it as, which is what counts.
if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
if [ "$1" -eq 0 ]; then
    dropins=/etc/systemd/system/gatepost.socket.d
    if grep -qsxF '# Written by the package gatepost; a file without this line is left alone.' $dropins/50-group.conf; then
        rm -f $dropins/50-group.conf
    fi
    link=/etc/systemd/system/gatepost.service.d/50-systemd-254.conf
    if [ -L $link ]; then rm -f $link; fi
    rmdir $dropins /etc/systemd/system/gatepost.service.d /run/gatepost /var/spool/postfix/gatepost 2>/dev/null || :
elif [ -d /run/systemd/system ]; then
    credentials=/run/credentials/gatepost.service
    if [ -d $credentials ]; then export CREDENTIALS_DIRECTORY=$credentials; fi
    user=$(systemctl show --property=User --value gatepost.service)
    group=$(systemctl show --property=Group --value gatepost.service)
    : "${user:=gatepost}"
    if [ -z "$group" ]; then group=$(id -g "$user"); fi
    if /usr/sbin/gatepost check-config >/dev/null &&
        setpriv --reuid="$user" --regid="$group" --init-groups /usr/sbin/gatepost check-config >/dev/null; then
        systemctl try-restart gatepost.service gatepost-metrics-exporter.service || :
    else
        echo 'gatepost: the configuration is not accepted, see above: the old process serves on.' >&2
        echo 'gatepost: correct it, then: systemctl restart gatepost.service' >&2
    fi
fi
