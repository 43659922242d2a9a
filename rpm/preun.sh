# $1 is 0 for a removal and 1 for an upgrade, which stops nothing.
if [ "$1" -eq 0 ]; then
    units='gatepost-metrics-exporter.service gatepost.service gatepost.socket gatepost-control.socket gatepost-metrics.socket'
    if [ -d /run/systemd/system ]; then
        systemctl --no-reload disable --now $units || :
    else
        systemctl --no-reload disable $units || :
    fi
fi
