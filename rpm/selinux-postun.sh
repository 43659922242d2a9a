# $1 is 0 for a removal.
if [ "$1" -eq 0 ] && command -v semodule >/dev/null; then
    semodule --noreload --priority 200 --remove gatepost 2>/dev/null || :
    if command -v selinuxenabled >/dev/null && selinuxenabled; then load_policy || :; fi
fi
