# Starts Xen's toolstack in dom0, so that xl works. Run once a boot; harmless when repeated.
set -e
[ -e /run/xen/xenconsoled.pid ] && exit 0
modprobe -a xen-privcmd xenfs xen-evtchn xen-gntdev xen-gntalloc
mountpoint -q /proc/xen || mount -t xenfs xenfs /proc/xen
mkdir -p /run/xen /run/xenstored /var/lib/xen /var/lib/xenstored /var/log/xen
xenstored --pid-file /run/xen/xenstored.pid >/run/xen/xenstored.log 2>&1
tries=100
until xenstore-read / >/dev/null 2>&1; do
    tries=$((tries - 1)); [ $tries -gt 0 ] || { cat /run/xen/xenstored.log >&2; exit 1; }
    sleep 0.1
done
xen-init-dom0 >&2
xenconsoled --pid-file=/run/xen/xenconsoled.pid >/run/xen/xenconsoled.log 2>&1
