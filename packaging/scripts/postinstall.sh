#!/bin/sh
# Debian calls it with configure and the version before, RPM with 1 (installed) or 2 (upgraded).
set -e
case "$1" in
configure | 1 | 2) ;;
*) exit 0 ;;
esac

if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers firstcall.conf
elif ! getent passwd firstcall >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/firstcall --no-create-home --shell /usr/sbin/nologin firstcall
fi
chgrp firstcall /etc/firstcall/secrets

[ -d /run/systemd/system ] || exit 0
sysctl -q -p /usr/lib/sysctl.d/60-firstcall.conf || true # a container may not; probes of kind icmp say so
systemctl daemon-reload
if [ "$1" = 2 ] || [ -n "$2" ]; then # an upgrade
	systemctl try-restart firstcall.service 'firstcall@*.service' || true # a fault of one does not leave the package half installed
else
	echo "firstcall: write /etc/firstcall/firstcall.yaml, then 'systemctl enable --now firstcall'"
fi
