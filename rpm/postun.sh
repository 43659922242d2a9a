# $1 is 0 for a removal and 1 for an upgrade. Only the service is restarted, never a socket, and only if the new
# program accepts the configuration, with the credential that the running one has.
if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
if [ "$1" -eq 0 ]; then
    dropins=/etc/systemd/system/gatepost.socket.d
    if grep -qsxF '# Written by the package gatepost; a file without this line is left alone.' $dropins/50-group.conf; then
        rm -f $dropins/50-group.conf
    fi
    link=/etc/systemd/system/gatepost.service.d/50-fd-store-preserve.conf
    if [ -L $link ]; then rm -f $link; fi
    rmdir $dropins /etc/systemd/system/gatepost.service.d /run/gatepost /var/spool/postfix/gatepost 2>/dev/null || :
elif [ -d /run/systemd/system ]; then
    credentials=/run/credentials/gatepost.service
    if [ -d $credentials ]; then export CREDENTIALS_DIRECTORY=$credentials; fi
    if /usr/sbin/gatepost check-config >/dev/null; then
        systemctl try-restart gatepost.service gatepost-metrics-exporter.service || :
    else
        echo 'gatepost: the configuration is not accepted, see above: the old process serves on.' >&2
        echo 'gatepost: correct it, then: systemctl restart gatepost.service' >&2
    fi
fi
