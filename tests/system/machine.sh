# An emulated Debian with a kernel of its own, for what a container cannot show: AppArmor and SELinux enforced.
# shellcheck shell=bash
#
# QEMU without KVM (which a virtual machine seldom has), so a boot takes some 20 seconds. No network card, no
# boot loader; the disk is thrown away. Scripts come in as a tar archive on a second disk, results go out on a third.

cache=${GATEPOST_TEST_CACHE:-${XDG_CACHE_HOME:-/var/cache}/gatepost-tests}
disk=$results/machine

# make_disk TREE COMMAND...: a disk image from the tree, after the command has changed a throw-away view of it;
# the command gets the view's path. Files carry their SELinux labels, so that no boot has to write them.
make_disk() {
    local tree=$1 view=$work/view kernel; shift
    rm -rf "$disk"; mkdir -p "$disk" "$view" "$work/upper"
    # The tree's own files once, so that the view keeps only the others in memory.
    if ! cmp -s "$tree.stamp" "$tree.labels"; then
        label "$tree" "$tree" || return 1
        cp "$tree.stamp" "$tree.labels"
    fi
    mount -t tmpfs -o mode=755 tmpfs "$work/upper" && mkdir "$work/upper/new" "$work/upper/work" || return 1
    mount -t overlay -o "lowerdir=$tree,upperdir=$work/upper/new,workdir=$work/upper/work" overlay "$view" || return 1
    guest "$view"
    "$@" "$view" || return 1
    # setfiles stays on one file system, and new files show that of the upper layer: those by name.
    label "$view" "$view" || return 1
    (cd "$work/upper/new" && find . ! -type d -printf "$view/%P\n") | label "$view" -f - || return 1
    kernel=$(cd "$view/boot" && echo vmlinuz-*)
    cp "$view/boot/$kernel" "$disk/vmlinuz"
    cp "$view/boot/initrd.img-${kernel#vmlinuz-}" "$disk/initrd"
    mke2fs -q -t ext4 -O ^has_journal -E lazy_itable_init=1,root_owner=0:0 -d "$view" "$disk/root" 3G
    local status=$?
    umount "$view" "$work/upper"
    return $status
}

label() {
    local root=$1; shift
    local contexts=$root/etc/selinux/default/contexts/files/file_contexts
    if [ "$1" = -f ]; then setfiles -F -m -r "$root" "$@" "$contexts"; else setfiles -F -m -r "$root" "$contexts" "$@"; fi
}

# What runs the script in the guest. Without AppArmor's and SELinux's confinement, as an administrator would.
guest() {
    cat >"$1/usr/local/sbin/guest" <<'G'
#!/bin/bash
tar -C / -xf /dev/disk/by-id/virtio-payload
mkdir -p /outside
# Confined programs may not write to the file itself. The console tells how far a machine came that is stopped.
/bin/bash /tests/inside/$(cat /tests/script) 2>&1 </dev/null | tee /dev/console >/outside/log
echo "${PIPESTATUS[0]}" >/outside/status
journalctl -b -o short-precise --no-pager >/outside/journal 2>&1
cp /var/log/audit/audit.log /outside/audit 2>&1
tar -C /outside -cf /dev/disk/by-id/virtio-result .
sync
systemctl poweroff --force --force
G
    chmod 755 "$1/usr/local/sbin/guest"
    mkdir -p "$1/etc/systemd/system/multi-user.target.wants"
    cat >"$1/etc/systemd/system/guest.service" <<'U'
[Unit]
Description=Test script
After=multi-user.target
FailureAction=poweroff-force
[Service]
Type=oneshot
Environment=HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
SELinuxContext=-unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023
ExecStart=/usr/local/sbin/guest
TimeoutStartSec=infinity
U
    ln -sf ../guest.service "$1/etc/systemd/system/multi-user.target.wants/guest.service"
    echo '/dev/vda / ext4 defaults,noatime 0 1' >"$1/etc/fstab"
}

# emulate NAME PAYLOAD "SCRIPT ARGUMENT..." KERNEL-PARAMETER...: boots the disk, runs inside/SCRIPT of the
# payload's tests directory, prints what it said.
emulate() {
    local name=$1 payload=$2 script=$3 out=$results/machine-$1 status; shift 3
    rm -rf "$out"; mkdir -p "$out"
    echo "$script" >"$payload/tests/script"
    tar -C "$payload" -cf "$disk/payload" .
    truncate -s 0 "$disk/result"; truncate -s 64M "$disk/result"
    timeout --kill-after=10 "${MACHINE_TIMEOUT:-300}" qemu-system-x86_64 \
        -machine q35,graphics=off -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
        -nodefaults -no-user-config -display none -no-reboot -monitor none -nic none \
        -serial "file:$out/console" -device virtio-rng-pci \
        -kernel "$disk/vmlinuz" -initrd "$disk/initrd" \
        -append "root=/dev/vda rw console=ttyS0 panic=-1 quiet systemd.show_status=no $*" \
        -drive "file=$disk/root,format=raw,if=none,id=root,cache=unsafe,snapshot=on" -device virtio-blk-pci,drive=root \
        -drive "file=$disk/payload,format=raw,if=none,id=payload,read-only=on" \
        -device virtio-blk-pci,drive=payload,serial=payload \
        -drive "file=$disk/result,format=raw,if=none,id=result,cache=unsafe" \
        -device virtio-blk-pci,drive=result,serial=result </dev/null >"$out/qemu" 2>&1
    status=$?
    tar -C "$out" -xf "$disk/result" 2>>"$out/qemu"
    cat "$out/log" 2>/dev/null
    for file in journal audit console; do cp "$out/$file" "$work/log/$name.$file" 2>/dev/null; done
    if [ "$(cat "$out/status" 2>/dev/null)" = 0 ]; then ok "$name: the script ran to its end"
    else fail "$name: the script ran to its end" "qemu ended with $status" "$(tail -n 5 "$out/qemu")" "$(tail -n 5 "$out/console")"; fi
}
