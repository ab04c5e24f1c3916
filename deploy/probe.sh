#!/usr/bin/env bash
# Whether the service of this container is ready: 0, or 1. In bash alone, since it is asked all the time.
set -u
exec 3<>"/dev/tcp/127.0.0.1/${SQUALL_MONITOR##*:}" || exit 1
printf 'GET /ready HTTP/1.0\r\n\r\n' >&3
read -r _ status _ <&3
[ "$status" = 200 ]
