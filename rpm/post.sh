# $1 is 1 for an installation and 2 for an upgrade. Starting is the administrator's business here; what runs is
# restarted after the upgrade is complete, in postun.sh.
units='gatepost.service gatepost.socket gatepost-control.socket gatepost-metrics.socket gatepost-metrics-exporter.service'
systemd-sysusers gatepost.conf || :

# The group that mail servers reach the sockets by; a file without our mark is the administrator's.
dropin=/etc/systemd/system/gatepost.socket.d/50-group.conf
mark='# Written by the package gatepost; a file without this line is left alone.'
group=gatepost
for each in smmsp postfix; do
    if getent group "$each" >/dev/null; then group=$each; fi
done
if [ ! -e "$dropin" ] || grep -qxF "$mark" "$dropin"; then
    mkdir -p "${dropin%/*}"
    printf '%s\n[Socket]\nSocketGroup=%s\n' "$mark" "$group" >"$dropin"
fi

version=$(systemctl --version 2>/dev/null | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
link=/etc/systemd/system/gatepost.service.d/50-systemd-254.conf
if [ "${version:-0}" -ge 254 ] && [ ! -e "$link" ] && [ ! -L "$link" ]; then
    mkdir -p "${link%/*}"
    ln -s /usr/share/gatepost/systemd-254.conf "$link"
fi

if [ "$1" -eq 1 ]; then
    if [ -x /usr/lib/systemd/systemd-update-helper ]; then
        /usr/lib/systemd/systemd-update-helper install-system-units $units || :
    else
        systemctl --no-reload preset $units || :
    fi
fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
