"""A box: a host of its own made of network, mount, hostname and process namespaces.

Every program works in it with its default paths, boxes don't see each other, and the death of the
box's process 1 ends everything in it. A box is found by a mark in the command line of the
`unshare` that holds it, so there's no record that a crash could leave stale.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence

from lab.layout import ROOT, VENV, Lab, LabError
from lab.processes import Process, kill, processes, reap, spawn, wait_for

INIT = pathlib.Path(__file__).with_name("box_init.sh")
MARK = "swanherd-lab"
# What programs write to by default, and each box needs for itself.
OWN_DIRECTORIES = (
    "/etc/openvswitch",
    "/var/lib/openvswitch",
    "/var/log/openvswitch",
    "/var/lib/ovn",
    "/var/log/ovn",
    "/var/lib/rabbitmq",
    "/var/log/rabbitmq",
    "/var/lib/neutron",
    "/var/lib/swanherd",
)

_inits: dict[str, Process] = {}


def search_path(venv: pathlib.Path) -> str:
    """Return the PATH with which programs of an environment find their own (privsep-helper)."""
    return f"{venv}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment in which programs run in boxes: nothing of ours leaks in."""
    return {
        "PATH": search_path(VENV),
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "*",
        **(extra or {}),
    }


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """A box of a lab, up or not."""

    lab: Lab
    name: str

    @property
    def mark(self) -> str:
        """The argument by which the box's `unshare` is known."""
        return f"{MARK}:{self.lab.name}:{self.name}"

    @property
    def directory(self) -> pathlib.Path:
        """Its private files."""
        return self.lab.directory("boxes", self.name)

    def holder(self) -> Process | None:
        """Return the `unshare` that holds it."""
        return holders(self.lab).get(self.name)

    def init(self) -> Process:
        """Return its process 1; LabError if the box isn't up."""
        known = _inits.get(self.mark)
        if known and known.alive:
            return known
        holder = self.holder()
        found = holder.children() if holder else []
        if not found:
            raise LabError(f"box {self.name} of lab {self.lab.name} isn't up (make up)")
        _inits[self.mark] = found[0]
        return found[0]

    def start(self) -> None:
        """Make the box; what a crashed run left of it goes first."""
        if old := self.holder():
            kill([old, *old.children()])
        log = self.lab.log(self.name, "box")
        hidden = [str(p) for p in (ROOT,) if p.is_relative_to("/tmp")]
        holder = spawn(
            [
                *("unshare", "--net", "--mount", "--uts", "--pid", "--ipc", "--fork"),
                *("--kill-child", "--mount-proc", "--propagation", "private"),
                *("sh", str(INIT), self.mark, self.name, str(self.directory)),
                *(str(self.lab.state / "hosts"), *hidden, "--", *OWN_DIRECTORIES),
            ],
            environment(),
            log,
        )

        def ready() -> bool:
            if not holder.alive:
                raise LabError(f"box {self.name} didn't start; {tail(log)}")
            return any(
                (pathlib.Path("/proc") / str(p.pid) / "root/run/ready").exists()
                for p in holder.children()
            )

        wait_for(ready, 15, f"box {self.name}; {log}", every=0.03)

    def stop(self) -> None:
        """End everything in the box, and the box."""
        if holder := self.holder():
            kill([*holder.children(), holder])
        reap()

    def process(self, number: int) -> Process | None:
        """Return the process that has this id inside the box, None if it has ended."""
        space = os.readlink(f"/proc/{self.init().pid}/ns/pid")
        for process in processes():
            try:
                if os.readlink(f"/proc/{process.pid}/ns/pid") != space:
                    continue
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # gone, or a process of a sandbox around us
            if re.search(rf"^NSpid:.*\s{number}$", status, re.MULTILINE):
                return process
        return None

    def enter_argv(self, argv: Sequence[str], netns: str | None = None) -> list[str]:
        """Return the command that runs argv in the box, or in a network namespace of it."""
        inner = ["nsenter", f"--net=/run/netns/{netns}", "--", *argv] if netns else list(argv)
        namespaces = ["-n", "-m", "-u", "-p", "-i"]
        return ["nsenter", "-t", str(self.init().pid), *namespaces, f"--wd={ROOT}", "--", *inner]

    def popen(
        self,
        argv: Sequence[str],
        *,
        netns: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | None = subprocess.DEVNULL,
    ) -> subprocess.Popen[str]:
        """Start a program in the box with piped output; end it with `end`."""
        return subprocess.Popen(
            self.enter_argv(argv, netns),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=environment(env),
        )

    def run(
        self,
        argv: Sequence[str],
        netns: str | None = None,
        *,
        timeout: float = 60,
        check: bool = True,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the box and return its output; timeout in seconds.

        LabError if it fails (unless check is False) or takes longer.
        """
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        with self.popen(argv, netns=netns, env=env, stdin=stdin) as process:
            try:
                out, err = process.communicate(input, timeout=timeout)
            except BaseException as problem:
                end(process, signal.SIGKILL)
                if isinstance(problem, subprocess.TimeoutExpired):
                    raise LabError(f"{self.name}: {argv}: not within {timeout:.0f} s") from None
                raise
        if check and process.returncode:
            raise LabError(f"{self.name}: {argv}: {process.returncode}: {err.strip() or out}")
        return subprocess.CompletedProcess(list(argv), process.returncode, out, err)

    def ip(self, *commands: str, netns: str | None = None) -> None:
        """Run commands of `ip`, given as lines, in one go."""
        self.run(["ip", "-batch", "-"], netns, input="\n".join(commands) + "\n")


def end(process: subprocess.Popen[str], sig: signal.Signals = signal.SIGTERM) -> None:
    """Signal a program that `Box.popen` started and all that it started, and wait for its end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, sig)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def holders(lab: Lab | None = None) -> dict[str, Process]:
    """Return the `unshare` of each box that is up, of one lab or of all."""
    found: dict[str, Process] = {}
    for process in processes():
        argv = process.argv
        if not argv or pathlib.Path(argv[0]).name != "unshare":
            continue
        for argument in argv:
            mark, _, rest = argument.partition(":")
            name, _, box = rest.partition(":")
            if mark == MARK and box and (lab is None or lab.name == name):
                found[box if lab else rest] = process
    return found


def tail(log: pathlib.Path, lines: int = 15) -> str:
    """Return a sentence with the end of a log file, for an error message."""
    try:
        text = log.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        text = []
    return f"log {log}" + "".join(f"\n    {line}" for line in text)
