"""Follows a Containerfile in directories, where there is no engine: each stage a root of its own.

It knows what our file uses: FROM, ARG, ENV, SHELL, WORKDIR, RUN, COPY, USER, ENTRYPOINT.
"""

import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import types

# What this machine reaches registries with; no part of the image, which may not change it.
_PASSED = re.compile(r"(?i)(pip_.*|.*_proxy)")
# Installing ca-certificates writes the usual file, so the machine's authorities are elsewhere.
_BUNDLE = "/run/authorities.crt"
LENT = {
    **{place: place for place in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/apt")},
    "/etc/ssl/certs/ca-certificates.crt": _BUNDLE,
}
_TRUSTING = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@dataclasses.dataclass
class Stage:
    """A root, and what a later instruction or a container begins with."""

    root: pathlib.Path
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    user: str = "0:0"
    workdir: str = "/"
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    entrypoint: tuple[str, ...] = ()

    def run(self, *argv, user=None, lent=types.MappingProxyType({}), check=True):
        """Run argv in the root, as the stage's user; what is `lent` can only be read."""
        target = self.root
        script = ["set -e", "mount --make-rprivate /"]
        for place in ("/proc", "/dev"):
            script += [f"mkdir -p {target}{place}", f"mount --rbind {place} {target}{place}"]
        for place, at in lent.items():
            if pathlib.Path(place).exists():
                make = "mkdir -p" if pathlib.Path(place).is_dir() else "touch"
                script += [f"{make} {target}{at}", f"mount --bind {place} {target}{at}"]
                script += [f"mount -o remount,bind,ro {target}{at}"]
        # The image's own search path, which needn't have the machine's /usr/sbin, holds from here.
        chroot = shutil.which("chroot")
        script += [f'cd {target}; exec {chroot} --userspec={user or self.user} {target} "$@"']
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        passed = {k: v for k, v in os.environ.items() if lent and _PASSED.fullmatch(k)}
        if lent:
            passed |= dict.fromkeys(_TRUSTING, _BUNDLE)
        return subprocess.run(
            ["unshare", "--mount", "--", "sh", "-c", "\n".join(script), "run", *argv],
            env={"PATH": path, "HOME": "/tmp", **passed, **self.env},
            capture_output=True,
            text=True,
            check=check,
            timeout=1200,
        )


class Builder:
    """Builds a target of a Containerfile. `contexts` are named build contexts."""

    def __init__(self, file, context, base, directory, contexts=()):
        self._context = context
        self._directory = directory
        self._contexts = dict(contexts)
        self._done = {}
        self._base = base
        self._stages = dict(stages(file.read_text()))

    def build(self, name):
        """Return the stage of that name, made with those that it needs."""
        if name not in self._stages:
            return Stage(self._base)
        if name not in self._done:
            parent, instructions = self._stages[name]
            before = self.build(parent)
            root = self._directory / name
            subprocess.run(["cp", "-a", before.root, root], check=True)
            stage = dataclasses.replace(before, root=root, env=dict(before.env))
            for word, rest in instructions:
                getattr(self, f"_{word.lower()}")(stage, rest)
            self._done[name] = stage
        return self._done[name]

    def _arg(self, stage, rest):
        name, _, value = rest.partition("=")
        stage.env[name] = value

    def _env(self, stage, rest):
        for pair in shlex.split(rest):
            name, _, value = pair.partition("=")
            stage.env[name] = re.sub(r"\$\{(\w+)\}", lambda m: stage.env[m[1]], value)

    def _shell(self, stage, rest):
        stage.shell = tuple(json.loads(rest))

    def _workdir(self, stage, rest):
        stage.workdir = rest
        (stage.root / rest.strip("/")).mkdir(parents=True, exist_ok=True)

    def _user(self, stage, rest):
        stage.user = rest

    def _entrypoint(self, stage, rest):
        stage.entrypoint = tuple(json.loads(rest))

    def _run(self, stage, rest):
        command = f"cd {stage.workdir}; {rest}"
        done = stage.run(*stage.shell, command, lent=LENT, check=False)
        assert done.returncode == 0, f"{rest}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"

    def _copy(self, stage, rest):
        words = shlex.split(rest)
        flags = dict(w.removeprefix("--").split("=") for w in words if w.startswith("--"))
        source, target = (w for w in words if not w.startswith("--"))
        origin = self._context
        if name := flags.get("from"):
            origin = self._contexts[name] if name in self._contexts else self.build(name).root
        found = origin / source.strip("/")
        into = stage.root / target.strip("/")
        into.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(
                found, into, symlinks=True, dirs_exist_ok=True, ignore=ignored(self._context)
            )
        else:
            shutil.copy(found, into)
        if mode := flags.get("chmod"):
            into.chmod(int(mode, 8))


def ignored(context):
    """Return what leaves out what .containerignore names, at the context's top."""
    names = {
        line.strip("/")
        for line in (context / ".containerignore").read_text().splitlines()
        if line and not line.startswith(("#", "**"))
    }

    def leave_out(folder, entries):
        return names & set(entries) if pathlib.Path(folder) == context else set()

    return leave_out


def stages(text):
    """Yield each stage's name, what it is from, and its instructions."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = []
    for line in filter(str.strip, joined.splitlines()):
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            parent, _, name = rest.partition(" AS ")
            found.append((name, (parent, [])))
        elif found:
            found[-1][1][1].append((word, rest))
    return found
