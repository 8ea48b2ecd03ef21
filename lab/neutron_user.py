"""L3 agents as images of Neutron run them: a user without capabilities, sudo and rootwrap.

The box gets that user, what sudo allows it, and rootwrap's files; nothing of Swanherd's own.
"""

from __future__ import annotations

import pathlib
import sys

from lab.boxes import Box
from lab.layout import CloudPlan

USER = 42424  # of Neutron in the images of openstack-helm
_HERE = pathlib.Path("/run/neutron-user")  # in the box
RUN = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--inh-caps=-all", "--")

CONFIGURATION = """\
[agent]
root_helper = sudo {neutron}/bin/neutron-rootwrap {rootwrap}
root_helper_daemon = sudo {neutron}/bin/neutron-rootwrap-daemon {rootwrap}
[oslo_concurrency]
lock_path = /var/lib/neutron/l3-lock
[ovs]
ovsdb_connection = tcp:127.0.0.1:6640
"""
_ROOTWRAP = """\
[DEFAULT]
filters_path = {neutron}/etc/neutron/rootwrap.d
exec_dirs = /sbin,/usr/sbin,/bin,/usr/bin,{neutron}/bin
use_syslog = False
"""
_SUDOERS = """\
Defaults secure_path="{neutron}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
neutron ALL = (root) NOPASSWD: {neutron}/bin/neutron-rootwrap {rootwrap} *
neutron ALL = (root) NOPASSWD: {neutron}/bin/neutron-rootwrap-daemon {rootwrap}
"""
# What the agent reads is copied: the lab's files, and maybe Python's, are below what only root may
# enter.
_PREPARE = """\
set -e
files=$1 python=$2 user=$3 here=$4
install -d -m 755 "$here"
install -m 644 "$files/rootwrap.conf" "$here/"
install -m 600 -o "$user" "$files/agent.conf" "$here/"
id neutron >/dev/null 2>&1 && exit 0
for name in sudoers passwd shadow; do
    mount --bind "$files/$name" "/etc/$name"
done
if ! setpriv --reuid="$user" --clear-groups test -x "$python"; then
    # Whole before it is seen: other programs are starting meanwhile.
    top=/$(echo "$python" | cut -d / -f 2)
    mount -t tmpfs -o mode=755 none "$files/home"
    mkdir -p "$files/home${python#"$top"}"
    mount --bind "$python" "$files/home${python#"$top"}"
    mount --rbind "$files/home" "$top"
fi
mkdir -p /var/lib/neutron
chown "$user:$user" /var/lib/neutron
"""


def prepare(box: Box, cloud: CloudPlan, configuration: str) -> pathlib.Path:
    """Give the box the user, and what it may do; return where the agent's configuration is."""
    files = box.lab.directory("boxes", box.name, "user")
    (files / "home").mkdir(exist_ok=True)
    for path, text, mode in (
        (files / "rootwrap.conf", _ROOTWRAP, 0o644),
        (files / "sudoers", _SUDOERS, 0o440),
        (files / "passwd", _with("passwd", f"neutron:x:{USER}:{USER}::/tmp:/bin/sh"), 0o644),
        (files / "shadow", _with("shadow", "neutron:*:1::::::"), 0o640),
    ):
        path.write_text(text.format(neutron=cloud.neutron, rootwrap=_HERE / "rootwrap.conf"))
        path.chmod(mode)
    more = CONFIGURATION.format(neutron=cloud.neutron, rootwrap=_HERE / "rootwrap.conf")
    (files / "agent.conf").write_text(configuration + more)
    box.run(["sh", "-c", _PREPARE, "prepare", str(files), sys.base_prefix, str(USER), str(_HERE)])
    return _HERE / "agent.conf"


def _with(name: str, line: str) -> str:
    return f"{pathlib.Path('/etc', name).read_text().rstrip()}\n{line}\n"
