#!/bin/sh
# Debian calls it with remove, RPM with 0; an upgrade restarts the agent once, when the new version is there.
set -e
case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac
[ -d /run/systemd/system ] || exit 0
systemctl stop firstcall.service 'firstcall@*.service'
systemctl disable firstcall.service
