# What process 1 of a box does: the box's own view of the machine, then nothing but reaping.
# Arguments: the box's mark, its name, its directory in the lab's state, the lab's hosts file, paths that
# stay visible although they are below /tmp, "--", and the directories of its own.
set -eu
name=$2 own=$3 hosts=$4
shift 4
hostname "$name"
mount -t sysfs sysfs /sys 2>/dev/null || true
mkdir -p "$own/tmp"
chmod 1777 "$own/tmp"
while [ "$1" != -- ]; do
    mkdir -p "$own/tmp/${1#/tmp/}"
    mount --rbind "$1" "$own/tmp/${1#/tmp/}"
    shift
done
shift
mount --rbind "$own/tmp" /tmp
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock /run/openvswitch /run/ovn /run/rabbitmq
for directory; do
    mkdir -p "$own/root$directory"
    mount --bind "$own/root$directory" "$directory"
done
mount --bind "$hosts" /etc/hosts
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
    net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
# What a userspace datapath has, the kernel sees as well: it would answer ARP there for the bridge's
# address, with another MAC, and whoever takes that answer sends tunnelled packets to nobody.
sysctl -qw net.ipv4.conf.all.arp_ignore=1
# A namespace that is removed must also go from the mount namespaces that `ip netns exec` made.
mount --make-rshared /
: >/run/ready
# With SIGCHLD ignored the kernel reaps what is orphaned in the box.
exec env --ignore-signal=CHLD sleep infinity
