"""Exported files are what the device itself reads: charon, and libreswan's parser."""

import subprocess

import pytest

from lab.install import LIBRESWAN
from swanherd.core.model import IkeVersion, Secret
from swanherd.testing import builders
from swanherd_client import peers
from tests.functional.swan.stage import children_up, make_stage, pair, run
from tests.unit.client import sample

HOSTILE = 'a"b\\c${d}#{e} }'


@pytest.fixture
def stage():
    with make_stage() as made:
        made.start()
        yield made


@pytest.mark.parametrize(
    ("version", "psk", "peer_id"),
    [
        (2, "correct horse", "192.0.2.2"),
        (1, "correct horse", "192.0.2.2"),
        (2, HOSTILE, "branch@example.org"),
        (2, "0xé", 'a"b\\{}#'),
    ],
)
def test_strongswan_boots_as_the_peer(stage, tmp_path, version, psk, peer_id):
    """swanctl loads the file unedited, begins, and both pairs of networks are up."""
    selectors = ("10.91.0.0/24", "10.92.0.0/24"), ("10.91.0.0/24", "10.93.0.0/24")
    ours, _ = pair(
        ike=builders.ike_policy(version=IkeVersion(f"v{version}")),
        psk=Secret(psk),
        peer_id=peer_id,
        selectors=tuple(builders.selector(*s) for s in selectors),
    )
    config = stage.load(stage.west, ours)
    tunnel = sample.tunnel(
        ike={"ike_version": f"v{version}"},
        peer_id=peer_id,
        peer=("10.92.0.0/24", "10.93.0.0/24"),
        name='hostile } " \n name',
    )
    (file,) = peers.export("strongswan", tunnel, psk)
    path = tmp_path / file.name
    path.write_text(file.text)
    socket = stage.state / stage.east / "charon.vici"
    run("swanctl", "--load-all", "--noprompt", "--uri", f"unix://{socket}", "--file", str(path))
    stage.wait(stage.west, children_up(config))


def libreswan(program, *argv):
    env = {"LD_LIBRARY_PATH": str(LIBRESWAN / "usr/lib/x86_64-linux-gnu")}
    path = str(LIBRESWAN / "usr/libexec/ipsec" / program)
    return subprocess.run([path, *argv], env=env, capture_output=True, text=True, timeout=20)


def addconn(path):
    return libreswan("addconn", "--config", str(path), "--checkconfig")


@pytest.mark.parametrize("encryption", ["aes-256", "aes-128-gcm-16", "aes-256-ccm-8"])
@pytest.mark.parametrize("protocol", ["esp", "ah"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_libreswan_reads_its_file(tmp_path, encryption, protocol, version):
    """Its own parsers take the file as it is, and the algorithms of it."""
    ike = {"ike_version": version, "encryption_algorithm": "aes-256"}
    ipsec = {"encryption_algorithm": encryption, "transform_protocol": protocol}
    ipsec["pfs"] = "group14" if version == "v1" else "group19"
    tunnel = sample.tunnel(ike=ike, ipsec=ipsec, peer_id="branch@example.org")
    for file in peers.export("libreswan", tunnel, HOSTILE):
        (tmp_path / file.name).write_text(file.text)
    path = tmp_path / f"{tunnel.label}.conf"
    done = addconn(path)
    assert (done.returncode, done.stderr) == (0, "")
    settings = dict(line.strip().split("=", 1) for line in path.read_text().splitlines()[2:])
    for algorithms in (f"ike={settings['ike']}", f"{protocol}={settings['phase2alg']}"):
        done = libreswan("algparse", f"-{version}", "-pfs=yes", algorithms)
        assert (done.returncode, "ERROR" in done.stdout + done.stderr) == (0, False), algorithms
    path.write_text(path.read_text().replace("salifetime", "salifetimes"))
    assert addconn(path).returncode
