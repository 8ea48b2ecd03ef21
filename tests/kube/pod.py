"""The operator's process in what its pod would have: an account's token, the cluster's name."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import yaml

from tests.kube.cluster import PATIENCE

ROOT = pathlib.Path(__file__).parents[2]
MANIFESTS = ROOT / "operator" / "deploy" / "operator.yaml"
ACCOUNT = "swanherd-operator"
USER = f"system:serviceaccount:openstack:{ACCOUNT}"
# Where a pod has its account's files, and the name by which it finds the API.
_START = """
mount -t tmpfs run /run && mkdir -p /run/secrets/kubernetes.io
mount --bind {pod} /run/secrets/kubernetes.io && mount --bind {hosts} /etc/hosts
exec "$@"
"""


class OperatorPod:
    """Starts and ends the operator, with the arguments that its Deployment has."""

    def __init__(self, cluster, directory):
        self.log = directory / "operator.log"
        self._directory = directory
        account = directory / "pod" / "serviceaccount"
        account.mkdir(parents=True)
        self.token = account / "token"
        self.token.write_text(cluster.token("openstack", ACCOUNT))
        (account / "ca.crt").write_bytes(cluster.authority.path.read_bytes())
        (account / "namespace").write_text("openstack")
        hosts = f"127.0.0.1 localhost\n{cluster.address} kubernetes.default.svc\n"
        (directory / "hosts").write_text(hosts)
        objects = yaml.safe_load_all(MANIFESTS.read_text())
        (deployment,) = (each for each in objects if each["kind"] == "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        self._arguments = container["args"]

    @contextlib.contextmanager
    def running(self, *more, end=signal.SIGTERM):
        """Run it as long as the block lasts."""
        start = _START.format(pod=self._directory / "pod", hosts=self._directory / "hosts")
        env = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"}
        env |= {"HOME": str(self._directory), "PYTHONPATH": str(ROOT / "operator" / "src")}
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [
                    *("unshare", "--mount", "sh", "-ec", start, "pod"),
                    *(sys.executable, "-m", "swanherd_operator.controller.main"),
                    *(*self._arguments, "--helm", str(ROOT / "build" / "helm")),
                    *("--chart", str(ROOT / "operator" / "charts" / "swanherd"), *more),
                ],
                env=env,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.send_signal(end)
            process.wait(PATIENCE)
