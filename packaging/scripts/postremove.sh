#!/bin/sh
# State and secrets stay at a removal. Debian's purge takes them; the user stays, so that nobody else gets its number.
set -e
if [ "$1" = purge ]; then
	rm -rf /var/lib/firstcall /var/lib/firstcall-* /var/lib/private/firstcall-* /etc/firstcall
	rm -f /etc/systemd/system/multi-user.target.wants/firstcall.service /etc/systemd/system/multi-user.target.wants/firstcall@*.service
fi
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
