#!/bin/busybox sh
# First program of a machine: puts the host's root together (9p, read-only, an overlay on top) and hands over to agent.sh.
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /host /tree /lab /upper /new
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </order

options=trans=virtio,version=9p2000.L,msize=262144
mount -t 9p -o "$options,ro,cache=loose" host /host
mount -t 9p -o "$options,ro,cache=loose" tree /tree
mount -t tmpfs -o size=60% upper /upper
mkdir /upper/over /upper/work
mount -t overlay -o lowerdir=/tree:/host,upperdir=/upper/over,workdir=/upper/work overlay /new || poweroff -f

mkdir -p /new/lab
mount -t 9p -o "$options,cache=none" lab /new/lab
mount -t tmpfs run /new/run
for place in proc sys dev; do mount --move /$place /new/$place; done
mkdir -p /new/dev/pts /new/dev/shm /new/run/lock
mount -t devpts devpts /new/dev/pts
mount -t tmpfs shm /new/dev/shm
mount -t tracefs tracing /new/sys/kernel/tracing
mount -t debugfs debug /new/sys/kernel/debug
hostname pcifma-lab
ip link set lo up
exec switch_root /new /bin/sh /lab/agent.sh
