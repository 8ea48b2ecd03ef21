"""swanherd-operator: does in a cluster what a deployment's flag says, for ever.

kopf only says *look again*: it lists at the start, watches, and nothing of it is written into the
resource. Each look reads all anew, so a lost event or a restart costs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import datetime
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import kopf
import yaml

from swanherd_operator import sources
from swanherd_operator.controller import cluster, plan
from swanherd_operator.controller.reconcile import DEPLOYMENTS, Away, Surroundings, Unknown, look
from swanherd_operator.document import API_GROUP
from swanherd_operator.enabling import Images

LOG = logging.getLogger(__name__)

RETRIES = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
SETTLE = 0.5  # seconds between two looks at least: events come in flocks
AGAIN = 60.0  # seconds between two looks while something isn't as wanted
UNTIL_THERE = 5.0  # seconds between two questions for the definitions of resources
RARELY = 600.0  # and while all is: what others change of it tells nothing


def chart(program: str, directory: Path) -> Callable[..., Sequence[plan.Object]]:
    """Return what renders the chart with helm's program."""

    def render(
        name: str, namespace: str, values: Mapping[str, Any], version: cluster.Version
    ) -> Sequence[plan.Object]:
        command = [program, "template", name, str(directory), "--namespace", namespace]
        kubernetes = "--kube-version", ".".join(map(str, version))
        done = subprocess.run(  # noqa: S603 - helm, and names that Kubernetes has checked
            [*command, *kubernetes, "--values", "-"],
            input=json.dumps(values),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise cluster.Denied(f"helm: {done.stderr.strip()}")
        return [each for each in yaml.safe_load_all(done.stdout) if each]

    return render


class Watcher:
    """Looks at one deployment at a time, in a thread, and again where it isn't as wanted."""

    def __init__(self, world: Surroundings) -> None:
        self._world = world
        self._woken: dict[tuple[str, str], asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._lock = asyncio.Lock()

    def wake(self, namespace: str, name: str) -> None:
        """Look at the deployment soon; what wakes it meanwhile is one more look in all."""
        key = namespace, name
        if key not in self._woken:
            self._woken[key] = asyncio.Event()
            self._tasks.append(asyncio.create_task(self._turns(*key)))
        self._woken[key].set()

    async def _turns(self, namespace: str, name: str) -> None:
        woken, failures = self._woken[namespace, name], 0
        while True:
            woken.clear()
            try:
                pause = RARELY if await self._turn(namespace, name) else AGAIN
                failures = 0
            except Exception as error:  # the worker: whatever it is, look again
                expected = isinstance(error, Away)
                LOG.warning("%s/%s: %s", namespace, name, error, exc_info=not expected)
                pause = RETRIES[min(failures, len(RETRIES) - 1)]
                failures += 1
            await asyncio.sleep(SETTLE)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), pause)

    async def _turn(self, namespace: str, name: str) -> bool:
        async with self._lock:
            return await asyncio.to_thread(look, self._world, namespace, name)


def credentials() -> kopf.ConnectionInfo | None:
    """Return those of the pod's account, else those of the current kubeconfig."""
    settings = kopf.OperatorSettings()
    found = kopf.login_with_service_account(logger=LOG, settings=settings)
    return found or kopf.login_with_kubeconfig(logger=LOG, settings=settings)


def access() -> cluster.Access:
    """Return how to reach the cluster now."""
    found = credentials()
    if found is None:
        raise Away("there is neither a pod's account nor a kubeconfig")
    text = found.ca_data
    return cluster.Access(
        server=found.server,
        ca_file=str(found.ca_path) if found.ca_path else None,
        ca_text=base64.b64decode(text).decode() if text else None,
        token=found.token,
        certificate=str(found.certificate_path) if found.certificate_path else None,
        key=str(found.private_key_path) if found.private_key_path else None,
    )


def register(registry: kopf.OperatorRegistry, make: Callable[[], Surroundings]) -> None:
    """Register what is watched. Handlers of events alone: kopf then writes into no resource."""
    watchers: list[Watcher] = []

    @kopf.on.login(registry=registry)
    def log_in(**_: Any) -> kopf.ConnectionInfo | None:
        return credentials()

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False
        # Namespaces and kinds are known. kopf would ask for all of the cluster, which our role
        # doesn't allow, and be deaf for the minute in which it tries.
        settings.scanning.disabled = True
        world = make()
        for version in (DEPLOYMENTS, plan.VERSION):
            if not await asyncio.to_thread(world.cluster.serves, version):
                raise kopf.TemporaryError(f"the cluster has no {version} yet", delay=UNTIL_THERE)
        watchers.append(Watcher(world))

    @kopf.on.event(API_GROUP, "v1alpha1", "openstackdeployments", registry=registry)
    async def changed(namespace: str | None, name: str, **_: Any) -> None:
        watchers[0].wake(namespace or "", name)

    async def grown(namespace: str | None, labels: Mapping[str, str], **_: Any) -> None:
        watchers[0].wake(namespace or "", labels[plan.LABEL])

    ours = {plan.LABEL: kopf.PRESENT}
    for group, plural in (("apps", "daemonsets"), ("batch", "jobs")):
        kopf.on.event(group, "v1", plural, labels=ours, registry=registry, id=plural)(grown)


def surroundings(options: argparse.Namespace) -> Surroundings:
    """Return the world as the command line says it is."""
    server = options.server_image
    settings = plan.Settings(
        Images(server, options.agent_image or server), options.bus_secret, options.bus_key
    )

    def vpn_services() -> int:
        if not options.os_cloud:
            raise Unknown("the operator isn't told the cloud (--os-cloud)")
        try:
            return sources.vpn_services(options.os_cloud)
        except sources.Unreadable as error:
            raise Unknown(str(error).rstrip(".")) from error

    return Surroundings(
        cluster.ApiCluster(access),
        settings,
        chart(options.helm, Path(options.chart)),
        vpn_services,
        lambda: datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(prog="swanherd-operator", description=__doc__)
    found.add_argument("--server-image", required=True, help="Neutron's image with Swanherd")
    found.add_argument("--agent-image", help="the same for agents; by default the server's")
    found.add_argument("--bus-secret", required=True, help="a Secret with the bus' URL")
    found.add_argument("--bus-key", default="transport_url", help="its key")
    found.add_argument("--chart", default="/usr/share/swanherd/chart", help="the chart's folder")
    found.add_argument("--helm", default="helm", help="helm's program")
    found.add_argument("--os-cloud", default="", help="the cloud to ask for VPN services")
    found.add_argument("--namespace", action="append", help="to watch; by default all")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until a signal ends it."""
    options = parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    registry = kopf.OperatorRegistry()
    register(registry, lambda: surroundings(options))
    kopf.run(
        registry=registry,
        standalone=True,
        namespaces=options.namespace or (),
        clusterwide=not options.namespace,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
