"""kube-apiserver and kube-controller-manager from Debian's source package, into build/kube.

    python -m lab.kube

No package has these programs. Debian's source is 1.20 and is built with Debian's Go, both only
unpacked below build; what is kept is the programs. The system's list of package sources is read,
not changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from lab.install import install_packages, unpack
from lab.layout import ROOT

FOLDER = ROOT / "build" / "kube"
PROGRAMS = ("kube-apiserver", "kube-controller-manager")
LOG = FOLDER / "build.log"

_SOURCES = pathlib.Path("/etc/apt")
_GO = ("golang-1.19-go", "golang-1.19-src", "golang-github-modern-go-reflect2-dev")
_PACKAGE = "k8s.io/kubernetes"
_VERSION = "v1.20.2"
# Where its version is told: a source without its repository doesn't know it.
_TOLD_BY = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def main() -> int:
    """Build what isn't there; tell how long it took and what it took of the disk."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second one waits for the first
        stamp = FOLDER / "made-from"
        digest = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()
        if stamp.exists() and stamp.read_text() == digest:
            return 0
        stamp.unlink(missing_ok=True)
        began, work = time.monotonic(), FOLDER / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            _build(work)
        except subprocess.CalledProcessError as error:
            tail = LOG.read_text(errors="replace").splitlines()[-15:]
            print(f"kube: {error}; log {LOG}", *tail, sep="\n    ", file=sys.stderr)
            return 1
        used = sum(each.lstat().st_size for each in work.rglob("*")) // 2**20
        shutil.rmtree(work)
        stamp.write_text(digest)
    kept = sum((FOLDER / name).stat().st_size for name in PROGRAMS) // 2**20
    print(f"kube: {time.monotonic() - began:.0f} s, {used} MiB meanwhile, {kept} MiB kept")
    return 0


def _build(work: pathlib.Path) -> None:
    """Unpack Go and the source, generate what upstream's makefile generates, compile."""
    LOG.write_text("")
    install_packages(("dpkg-dev", "patch", "xz-utils"))
    _say("Go, and the source of kubernetes")
    unpack(work / "go", _GO)
    place = work / "path" / "src" / _PACKAGE
    place.parent.mkdir(parents=True)
    _source(work / "apt", place)
    # The vendored one reads memory that Go 1.19 has elsewhere: a custom resource would end it.
    newer = work / "go/usr/share/gocode/src/github.com/modern-go/reflect2"
    shutil.rmtree(place / "vendor/github.com/modern-go/reflect2")
    shutil.copytree(newer, place / "vendor/github.com/modern-go/reflect2")
    root = work / "go/usr/lib/go-1.19"
    settings = {
        "GOROOT": str(root),
        "GOPATH": str(work / "path"),
        "GO111MODULE": "off",
        "GOCACHE": str(work / "cache"),
        "CGO_ENABLED": "0",
        "GOFLAGS": "",
        "GOPROXY": "off",
        "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
    }
    _say("its OpenAPI document")
    _generate(place, settings)
    flags = " ".join(("-s -w", *_versions()))
    for name in PROGRAMS:
        _say(f"{name} (minutes)")
        built = ["go", "build", f"-ldflags={flags}", "-o", str(work / name)]
        _run([*built, f"./cmd/{name}"], place, settings)
        (work / name).replace(FOLDER / name)


def _source(apt: pathlib.Path, place: pathlib.Path) -> None:
    """Fetch and unpack the source, with lists of package sources that are apt's own for this."""
    for each in ("parts", "lists/partial", "cache/archives/partial"):
        (apt / each).mkdir(parents=True)
    for path in (_SOURCES / "sources.list", *(_SOURCES / "sources.list.d").glob("*")):
        if path.suffix in (".list", ".sources") and path.exists():
            (apt / "parts" / path.name).write_text(_of_sources(path.read_text()))
    options = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": apt / "parts",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
    }
    command = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*command, "update"], apt)
    _run([*command, "source", "--download-only", "kubernetes"], apt)
    (described,) = apt.glob("kubernetes_*.dsc")
    _run(["dpkg-source", "--extract", described.name, str(place)], apt)


def _of_sources(text: str) -> str:
    """Return a list of package sources, in either form, for sources instead of programs."""
    text = re.sub(r"(?im)^types:.*$", "Types: deb-src", text)
    return re.sub(r"(?m)^deb\s", "deb-src ", text)


def _generate(place: pathlib.Path, settings: dict[str, str]) -> None:
    """Generate the one file that the source lacks, as its Makefile.generated_files does."""
    program = place / "openapi-gen"
    built = ["go", "build", "-o", str(program)]
    _run([*built, "./vendor/k8s.io/kube-openapi/cmd/openapi-gen"], place, settings)
    listed = subprocess.run(
        ["grep", "-rl", "--include=*.go", "+k8s:openapi-gen=", "pkg", "staging/src/k8s.io"],
        cwd=place,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    without = ("/code-generator/", "/sample-apiserver/", "/sample-controller/", "/testdata/")
    folders = {
        f"{_PACKAGE}/{pathlib.PurePath(each.replace('staging/src/', 'vendor/')).parent}"
        for each in listed
        if not any(word in each for word in without)
    }
    options = {
        "--go-header-file": "hack/boilerplate/boilerplate.generatego.txt",
        "-O": "zz_generated.openapi",
        "-p": f"{_PACKAGE}/pkg/generated/openapi",
        "-i": ",".join(sorted(folders)),
        "-r": "violations",
    }
    words = [word for option in options.items() for word in option]
    _run([str(program), "--v", "0", *words], place, settings)


def _versions() -> Iterator[str]:
    major, minor, _ = _VERSION.removeprefix("v").split(".")
    for path in _TOLD_BY:
        for name, value in (("Version", _VERSION), ("Major", major), ("Minor", minor)):
            yield f"-X {_PACKAGE}/vendor/{path}.git{name}={value}"


def _say(what: str) -> None:
    print(f"kube: {what} …", flush=True)


def _run(
    argv: Sequence[str], directory: pathlib.Path, settings: dict[str, str] | None = None
) -> None:
    """Run a program nicely, with its output in the log."""
    with LOG.open("a") as log:
        print(f"$ {' '.join(argv)[:500]}", file=log, flush=True)
        subprocess.run(
            ["nice", "-n", "10", *argv],
            cwd=directory,
            env=os.environ | (settings or {}),
            check=True,
            stdout=log,
            stderr=log,
        )


if __name__ == "__main__":
    sys.exit(main())
