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
grep -qw lab.systemd /new/proc/cmdline || exec switch_root /new /bin/sh /lab/agent.sh

# With systemd as the first program: the agent is a service, and nothing else of this computer's own is started.
rm -f /new/.dockerenv # or systemd takes the machine for a container
units=/new/run/systemd/system
mkdir -p "$units"
# It would tidy this computer's own directories, over 9p.
for unit in tmpfiles-setup tmpfiles-setup-dev sysusers hwdb-update udev-trigger udevd journal-catalog-update journal-flush random-seed \
    update-done update-utmp binfmt machine-id-commit network-generator networkd resolved timesyncd; do
    ln -s /dev/null "$units/systemd-$unit.service"
done
cat >"$units/lab.target" <<END
[Unit]
Requires=basic.target lab-agent.service
AllowIsolate=yes
END
cat >"$units/lab-agent.service" <<END
[Unit]
After=basic.target
[Service]
ExecStart=/bin/sh /lab/agent.sh
END
exec switch_root /new /lib/systemd/systemd
