#!/bin/bash
# Installs the programs the system suites drive.  Starts no service of the distribution.
# Sendmail conflicts with Postfix, so its packages are only unpacked, under $results/unpacked.
set -euo pipefail
: "${results:?}"

packages=(
    rbldnsd unbound dnsutils                       # name servers and dig
    postfix swaks miltertest                       # mail server, SMTP client, OpenDKIM's MTA side
    postfix-cdb postfix-lmdb lmdb-utils sqlite3 libsqlite3-dev pkg-config  # access maps of other kinds than text
    m4 libwrap0 libdb5.3 libldap-2.5-0 libsasl2-2 libnsl2 libssl3   # what Sendmail needs
    python3 iproute2 procps curl gcc libc6-dev mandoc
    strace                                         # system calls that fail
    python3-milter python3-dnspython libmilter-dev # peers of the benchmarks and of the comparison
    systemd systemd-container mmdebstrap           # socket activation, booted containers
    dpkg-dev lintian shellcheck                    # the Debian package
    apparmor selinux-policy-dev make selinux-utils policycoreutils semodule-utils secilc python3-setools   # confinement
    rpm rpmlint dnf createrepo-c                   # the rpm package
)

if [ "$(id -u)" -ne 0 ]; then
    echo "tests/system/tools.sh: must run as root to install packages and make namespaces;" \
        "run tests/run as root, or tests/run quick as anybody" >&2
    exit 1
fi
if ! command -v cargo >/dev/null; then
    echo "tests/system/tools.sh: no cargo in \$PATH; install Rust as https://rustup.rs describes" >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -qq -o DPkg::Lock::Timeout=600)
updated=
update() { [ -n "$updated" ] || "${apt[@]}" update; updated=1; }

missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]}"
    update
    # Debian's maintainer scripts ask this program whether they may start a service.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        trap 'rm -f $policy' EXIT
    fi
    echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >"$results/apt.txt" 2>&1 ||
        { tail -20 "$results/apt.txt" >&2; exit 1; }
fi

sendmail=$results/unpacked
if [ ! -x "$sendmail/usr/libexec/sendmail/sendmail" ]; then
    echo "unpacking Sendmail"
    update
    rm -rf "$sendmail" "$results/deb"
    mkdir -p "$sendmail" "$results/deb"
    (cd "$results/deb" && "${apt[@]}" -o APT::Sandbox::User=root download \
        sendmail-bin sendmail-base sendmail-cf sensible-mda)
    for file in "$results"/deb/*.deb; do dpkg -x "$file" "$sendmail"; done
fi
# Debian's own SELinux policy, in modules.
if [ ! -d "$results/unpacked-selinux/usr/share/selinux/default" ]; then
    echo "unpacking the SELinux policy"
    update
    mkdir -p "$results/unpacked-selinux" "$results/deb"
    (cd "$results/deb" && "${apt[@]}" -o APT::Sandbox::User=root download selinux-policy-default)
    dpkg -x "$results"/deb/selinux-policy-default_*.deb "$results/unpacked-selinux"
fi
if ldd "$sendmail/usr/libexec/sendmail/sendmail" | grep 'not found' >&2; then exit 1; fi

# The emulator. Where qemu-utils comes from Debian's backports already, Debian's own emulator conflicts with it:
# everything from backports then, by a list of sources of our own.
if ! command -v qemu-system-x86_64 >/dev/null; then
    echo "installing QEMU"
    update
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
    sources=$results/apt-qemu
    mkdir -p "$sources/lists/partial"
    printf 'deb %s bookworm main\ndeb %s bookworm-backports main\n' "$mirror" "$mirror" >"$sources/sources.list"
    private=("${apt[@]}" -o "Dir::Etc::sourcelist=$sources/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$sources/lists")
    "${private[@]}" update
    "${private[@]}" install -y --no-install-recommends ipxe-qemu \
        {qemu-system-x86,qemu-system-common,qemu-system-data,seabios}/bookworm-backports >"$results/apt-qemu.txt" 2>&1 ||
        { tail -20 "$results/apt-qemu.txt" >&2; exit 1; }
fi

for tool in rbldnsd unbound dig postfix smtp-sink smtp-source swaks miltertest m4 ip unshare strace prlimit python3 systemd-socket-activate; do
    command -v $tool >/dev/null || { echo "tests/system/tools.sh: $tool is missing" >&2; exit 1; }
done
