"""A container as Kubernetes makes one: a root of mounts, read-only but for its emptyDirs."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[3]
BIN = pathlib.Path(sys.executable).parent
NEUTRON = 42424  # uid and gid of Neutron in the images of openstack-helm, kolla and rockoon
_LINKS = ("bin", "sbin", "lib", "lib64")
# What a container has of this machine, where an image would have it of its own.
_READ_ONLY = (
    "/usr",
    str(ROOT),
    *(() if sys.base_prefix.startswith("/usr") else (sys.base_prefix,)),
)
_SHOWN = (*_READ_ONLY, "/dev", "/sys")


@dataclasses.dataclass(frozen=True)
class Pod:
    """What a pod mounts. `files` are ConfigMaps and Secrets, by path; `empty` are emptyDirs."""

    directory: pathlib.Path
    files: dict[str, str]
    empty: tuple[str, ...] = ("/tmp", "/run", "/var/lib/neutron")
    bound: dict[str, str] = dataclasses.field(default_factory=dict)
    user: int | None = None
    own_network: bool = False
    # What the bounding set has, as after Kubernetes' `drop: [ALL]`; all if None.
    capabilities: tuple[str, ...] | None = None

    def inside(self, path: str) -> pathlib.Path:
        """Return where on this machine a path in an emptyDir is."""
        empty = max((e for e in self.empty if path.startswith(f"{e}/")), key=len)
        return self._backing(empty) / path.removeprefix(f"{empty}/")

    def _backing(self, empty: str) -> pathlib.Path:
        return self.directory / "empty" / empty.strip("/").replace("/", "-")

    def _write(self) -> None:
        etc = self.directory / "image"
        if not etc.exists():
            (etc / "etc").mkdir(parents=True)
            for name in ("group", "nsswitch.conf", "ld.so.cache", "protocols", "services"):
                shutil.copy(f"/etc/{name}", etc / "etc" / name)
            for name in ("pam.d", "security", "ssl", "alternatives", "login.defs"):
                kept = pathlib.Path("/etc", name)
                copy = shutil.copytree if kept.is_dir() else shutil.copy
                copy(kept, etc / "etc" / name, **({"symlinks": True} if kept.is_dir() else {}))
            passwd = f"root:x:0:0::/root:/bin/sh\nneutron:x:{NEUTRON}:{NEUTRON}::/tmp:/bin/sh\n"
            (etc / "etc/passwd").write_text(passwd)
            (etc / "etc/hosts").write_text("127.0.0.1 localhost gateway-1\n")
            (etc / "etc/shadow").write_text("root:*:1::::::\nneutron:*:1::::::\n")
        for path, text in self.files.items():
            name = etc / path.strip("/")
            name.parent.mkdir(parents=True, exist_ok=True)
            name.write_text(text)
            name.chmod(0o440 if "sudoers" in path else 0o555 if text.startswith("#!") else 0o444)
        for empty in self.empty:
            backing = self._backing(empty)
            backing.mkdir(parents=True, exist_ok=True)
            backing.chmod(0o777)

    def _script(self, before: str) -> str:
        root = self.directory / "root"
        root.mkdir(exist_ok=True)
        # As HostToContainer: what is mounted on the node comes in, and nothing goes out.
        lines = ["set -e", "mount --make-rslave /", f"mount -t tmpfs -o mode=755 none {root}"]
        lines += [f"ln -s usr/{name} {root}/{name}" for name in _LINKS]
        lines += [f"cp -a {self.directory}/image/. {root}/"]
        for shown in _SHOWN:
            lines += [f"mkdir -p {root}{shown}", f"mount --rbind {shown} {root}{shown}"]
        lines += [f"mount -o remount,bind,ro {root}{shown}" for shown in _READ_ONLY]
        lines += [f"mkdir {root}/proc", f"mount -t proc proc {root}/proc"]
        for empty in self.empty:
            lines += [
                f"mkdir -p {root}{empty}",
                f"mount --bind {self._backing(empty)} {root}{empty}",
            ]
            # ConfigMaps are mounted into emptyDirs too: scripts, in /tmp.
            lines += [f"cp -a {self.directory}/image{empty}/* {root}{empty}/ 2>/dev/null || :"]
        for shown in (shown for shown in _SHOWN if self._is_covered(shown)):
            lines += [f"mkdir -p {root}{shown}", f"mount --rbind {shown} {root}{shown}"]
        for inner, outer in self.bound.items():
            make = "mkdir -p" if pathlib.Path(outer).is_dir() else "touch"
            lines += [f"{make} {root}{inner}", f"mount --rbind {outer} {root}{inner}"]
        if self.capabilities is not None:
            # Kubernetes mounts it so where a container isn't privileged.
            lines += [f"mount --bind {root}/proc/sys {root}/proc/sys"]
            lines += [f"mount -o remount,bind,ro {root}/proc/sys"]
        lines += [f"mount -o remount,ro {root}", before, 'exec chroot "$@"']
        return "\n".join(lines)

    def _is_covered(self, shown: str) -> bool:
        """Tell whether an emptyDir lies over it: a checkout may be in /tmp."""
        return any(shown.startswith(f"{empty}/") for empty in self.empty)

    def command(self, *argv: str, before: str = "") -> list[str]:
        """Return what runs argv as the container's process 1."""
        self._write()
        spaces = ["--mount", "--propagation=unchanged", "--pid", "--fork", "--kill-child=SIGTERM"]
        network = ["--net"] if self.own_network else []
        user = [f"--userspec={self.user}:{self.user}"] if self.user is not None else []
        root = str(self.directory / "root")
        script = self._script(("ip link set lo up\n" if self.own_network else "") + before)
        bounded: list[str] = []
        if self.capabilities is not None:
            names = ",".join(f"+{name.lower()}" for name in self.capabilities)
            bounded = ["setpriv", f"--bounding-set=-all,{names}", "--inh-caps=-all"]
            bounded += ["--no-new-privs"]
        return [
            *("unshare", *spaces, *network, "--", "sh", "-c", script, "pod"),
            *(*user, root, *bounded, *argv),
        ]

    @contextlib.contextmanager
    def running(self, *argv: str, before: str = ""):
        """Run it as long as the block lasts; the process must end with status 0 at SIGTERM."""
        log = self.directory / "log"
        env = {"PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp"}
        with log.open("a") as output:
            command = self.command(*argv, before=before)
            process = subprocess.Popen(command, stdout=output, stderr=output, env=env)
        try:
            yield process
        finally:
            for child in _children(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGTERM)
            process.wait(60)

    def execute(self, process, *argv: str):
        """Run argv beside the container's process, as `kubectl exec` and probes do."""
        inner = _children(process.pid)[0]
        user = [f"--setuid={self.user}", f"--setgid={self.user}"] if self.user is not None else []
        command = ["nsenter", f"--target={inner}", *("--mount", "--pid", "--net", "--root"), *user]
        env = {"PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run(
            [*command, *argv], capture_output=True, text=True, timeout=60, env=env, check=False
        )


def _children(pid: int) -> list[int]:
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []  # it has ended
    return [int(word) for word in text.split()]


def command_lines(process) -> list[str]:
    """Return the command line of each process of the container, as a probe by name sees them."""
    found, waiting = [], _children(process.pid)
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError):
            waiting += _children(pid)
            raw = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            found.append(raw.replace(b"\0", b" ").decode().strip())
    return found
