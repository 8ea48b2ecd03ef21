"""swanherd-enable reads a deployment from a cluster, as whoever the kubeconfig says."""

import os
import pathlib
import subprocess

import pytest
import yaml

from tests.kube.cluster import create, path_of
from tests.oracles.environments import environment

ROOT = pathlib.Path(__file__).parents[2]
_MAIN = "import sys; from swanherd_operator.cmd import main; sys.exit(main())"
EXAMPLE = ROOT / "docs" / "examples" / "osdpl.yaml"


@pytest.fixture
def enable(cluster, tmp_path):
    """Run it with Kubernetes' own client."""

    def run(*arguments, kubeconfig=None):
        (tmp_path / "kubeconfig").write_text(kubeconfig or "")
        config = tmp_path if kubeconfig else cluster.directory
        env = {"KUBECONFIG": str(config / "kubeconfig"), "PYTHONPATH": f"{ROOT}/operator/src"}
        return subprocess.run(
            [environment("kube") / "bin" / "python", "-c", _MAIN, *arguments],
            env=os.environ | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_it_says_of_a_clusters_deployment_what_it_says_of_the_file(cluster, enable):
    """And its patch, applied, is what the flag says then."""
    path = path_of(create(cluster, yaml.safe_load(EXAMPLE.read_text())))
    try:
        before = cluster.ask("GET", path)
        images = ("--server-image", "registry.example/neutron:swanherd")
        read = enable("enable", "--cluster", "openstack/cloud", *images)
        assert (read.returncode, read.stderr) == (0, "")
        assert read.stdout == enable("enable", str(EXAMPLE), *images).stdout
        assert cluster.ask("GET", path) == before
        cluster.merge(path, yaml.safe_load(read.stdout))
        told = yaml.safe_load(enable("show", "--cluster", "cloud").stdout)
        assert told["vpnaas"] is True
        difference = enable("disable", "--force", "--diff", "--cluster", "cloud").stdout
        assert "-          enabled: true" in difference
    finally:
        cluster.ask("DELETE", path)


def test_what_the_cluster_answers_is_one_sentence(cluster, enable):
    """A name that isn't there, and an account that may not."""
    missing = enable("enable", "--cluster", "openstack/nobody")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == "swanherd-enable: cluster: Not Found\n"
    stranger = cluster.kubeconfig(token=cluster.token("default", "default"))
    forbidden = enable("enable", "--cluster", "openstack/cloud", kubeconfig=stranger)
    assert (forbidden.returncode, forbidden.stdout) == (1, "")
    assert forbidden.stderr == "swanherd-enable: cluster: Forbidden\n"
