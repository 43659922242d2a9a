#!/bin/bash
# Whichever comes first, gatepost or the mail server: the sockets end up in the right group.
source /tests/inside/lib.sh

group() { stat -c %G /run/gatepost/milter.sock; }
milter=/run/gatepost/milter.sock
apt-get purge -y postfix >/dev/null 2>&1
! getent group postfix || die "Postfix is gone"
check "without a mail server: apt install" apt-get install -y $packages/gatepost_*-1_*.deb
check "the sockets are gatepost's own" test "$(group)" = gatepost
before=$(inode $milter)

# As far as we can see of Sendmail: its program and its group.
mkdir -p $work/sendmail/{DEBIAN,usr/sbin}
printf '%s\n' 'Package: a-sendmail' 'Version: 1' 'Architecture: all' 'Maintainer: nobody <nobody@example.org>' 'Description: stand-in' >$work/sendmail/DEBIAN/control
printf '#!/bin/sh\nset -e\nif [ "$1" = configure ]; then groupadd -rf smmsp; fi\n' >$work/sendmail/DEBIAN/postinst
chmod 755 $work/sendmail/DEBIAN/postinst
ln -s /bin/true $work/sendmail/usr/sbin/sendmail
dpkg-deb --build $work/sendmail $work >/dev/null
check "Sendmail comes later" dpkg --install $work/a-sendmail_1_all.deb
check "the sockets become its group's" test "$(group)" = smmsp
check "without being closed" test "$(inode $milter)" = "$before"
apt-get purge -y a-sendmail >/dev/null 2>&1; groupdel smmsp
check "Postfix comes later" dpkg --install $packages/postfix/postfix_*.deb
check "the sockets become its group's" test "$(group)" = postfix
check "without being closed" test "$(inode $milter)" = "$before"
check "and stay so in a restart of the socket" systemctl restart gatepost.socket
check "with that group" test "$(group)" = postfix

check "purge" apt-get purge -y gatepost
check "no directory of the sockets is left" test ! -e /run/gatepost -a ! -e /var/spool/postfix/gatepost
exit 0
