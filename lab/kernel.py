"""A Linux kernel with ESP on a machine whose own kernel has none: user-mode Linux.

    python -m lab.kernel [--memory 1G] [--seconds 300] COMMAND…

boots Debian's user-mode-linux with this machine's files as its root (hostfs), runs the command as
root, shows what it prints and ends with its exit status; 124 means that time was up. The guest has
a /tmp, /run and /dev/shm of its own, and namespaces, modules and one processor of its own; what it
changes in /etc, /var/cache, /var/lib and /var/log it changes for itself, so that a lab in it and
one on the machine don't meet. All other files are the machine's, writable. Nothing of it is left
when it ends, however it ends: it lives in a PID namespace.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from lab.layout import ROOT, STATE

LOG = ROOT / "build" / "kernel" / "console.log"

TIME_IS_UP = 124
BROKEN = 125

_BEGIN, _END = "--- kernel: begin", "--- kernel: end"

# The kernel loads by itself what it is asked for by name, if it finds it. XFRM asks for the first
# ones not at all, or for a template that needs them, and then refuses the SA (ENOSYS, ENOENT).
_MODULES = (
    *("aes_generic", "ctr", "gcm", "ccm", "cbc", "ghash_generic", "hmac", "echainiv", "seqiv"),
    *("authenc", "drbg", "sha1_generic", "sha256_generic", "sha512_generic", "xcbc", "cmac"),
    *("des_generic", "esp4", "esp6", "ah4", "ah6", "xfrm_user", "tunnel4", "tunnel6"),
    *("veth", "tun", "bridge", "sch_netem", "af_key", "ip_tables", "ip6_tables", "iptable_filter"),
    *("iptable_nat", "xt_MASQUERADE", "ip6table_filter", "xt_policy", "xt_TCPMSS"),
    *("xt_addrtype", "xt_multiport", "xt_comment", "iptable_raw", "iptable_mangle"),
    *("ip6table_raw", "ip6table_mangle", "xt_CT", "xt_mark", "xt_connmark", "xt_conntrack"),
    "overlay",
)

_INIT = """#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys
mount -t tmpfs run /run; mkdir -p /run/lock /run/netns /run/tmp
mount --rbind /tmp /run/tmp; mount -t tmpfs tmp /tmp
case {directory}/ in /tmp/*)  # a checkout there stays visible
    mkdir -p {directory}; mount --bind /run{directory} {directory}
esac
umount /run/tmp
mkdir -p /dev/shm; mount -t tmpfs shm /dev/shm
mount --bind /usr/lib/uml/modules /lib/modules
modprobe -aq {modules}
for own in /etc /var/cache /var/lib /var/log; do
    mkdir -p /run/own/{{new,work}}$own
    layers=lowerdir=$own,upperdir=/run/own/new$own,workdir=/run/own/work$own
    # The machine's labs, which come and go: to the guest there are none (overlayfs: a whiteout).
    [ $own != {labs} ] || mknod /run/own/new{state} c 0 0
    mount -t overlay -o $layers own $own
done
# Without nf_tables `iptables` is the one for x_tables, as on an operator's machine of that kind.
mkdir /run/x_tables
for name in {{iptables,ip6tables}}{{,-save,-restore}}; do
    ln -s /usr/sbin/xtables-legacy-multi /run/x_tables/$name
done
export PATH=/run/x_tables:$PATH
ip link set lo up
hostname kernel
cd {directory}
echo {begin}
{environment} {command}
echo $? >{work}/status
echo {end}
echo o >/proc/sysrq-trigger
sleep 5
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments tell; the exit status is its own."""
    parser = argparse.ArgumentParser(prog="python -m lab.kernel", description=__doc__)
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(argv)
    if not options.command:
        parser.error("what is to be run?")
    # Else `finally` wouldn't run, and the guest would go on without us.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    return run(options.command, memory=options.memory, seconds=options.seconds)


def run(command: Sequence[str], *, memory: str = "1G", seconds: float = 300) -> int:
    """Boot, run the command in this directory, power off; return the command's exit status."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    # Not below /tmp or /run, which the guest hasn't.
    with tempfile.TemporaryDirectory(prefix="swanherd-kernel-", dir="/var/tmp") as name:
        work = pathlib.Path(name)
        _write_init(work, command)
        with _booted(work, memory) as guest:
            in_time = _show(guest, time.monotonic() + seconds)
        if not in_time:
            print(f"kernel: not done in {seconds:.0f} s; console: {LOG}", file=sys.stderr)
            return TIME_IS_UP
        try:
            return int((work / "status").read_text())
        except (FileNotFoundError, ValueError):
            print(f"kernel: the guest broke; console: {LOG}", file=sys.stderr)
            return BROKEN


def _write_init(work: pathlib.Path, command: Sequence[str]) -> None:
    passed = {k: v for k, v in os.environ.items() if k.startswith(("SWANHERD_", "PYTEST_"))}
    script = _INIT.format(
        modules=" ".join(_MODULES),
        directory=shlex.quote(str(pathlib.Path.cwd())),
        begin=shlex.quote(_BEGIN),
        end=shlex.quote(_END),
        environment=" ".join(f"{k}={shlex.quote(v)}" for k, v in sorted(passed.items())),
        command=shlex.join(command),
        state=STATE,
        labs=STATE.parent,
        work=work,
    )
    pathlib.Path("/lib/modules").mkdir(exist_ok=True)
    path = work / "init"
    path.write_text(script)
    path.chmod(0o755)


@contextlib.contextmanager
def _booted(work: pathlib.Path, memory: str) -> Iterator[subprocess.Popen[bytes]]:
    """Give the running guest; in the end nothing of it runs any more."""
    jail = ["unshare", "--pid", "--mount", "--fork", "--kill-child=KILL", "--mount-proc"]
    guest = [
        *("linux.uml", f"mem={memory}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/"),
        *("rw", f"init={work}/init", "con=null", "con0=null,fd:1", "quiet", f"uml_dir={work}"),
    ]
    process = subprocess.Popen(
        [*jail, *guest], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _show(guest: subprocess.Popen[bytes], deadline: float) -> bool:
    """Copy the console to the log, and what the command prints to stdout; False: time is up."""
    assert guest.stdout is not None
    shown = False
    rest = b""
    with LOG.open("wb") as log, selectors.DefaultSelector() as selector:
        selector.register(guest.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                continue
            data = os.read(guest.stdout.fileno(), 65536)
            if not data:
                return True
            log.write(data)
            log.flush()
            *lines, rest = (rest + data).replace(b"\r", b"").split(b"\n")
            for line in lines:
                if line.decode(errors="replace") in {_BEGIN, _END}:
                    shown = line.decode() == _BEGIN
                elif shown:
                    print(line.decode(errors="replace"), flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main())
