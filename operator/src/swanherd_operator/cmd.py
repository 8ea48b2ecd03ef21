"""`swanherd-enable`: what enabling VPNs in an OpenStackDeployment means, for each way to deploy.

It prints and never applies anything.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from swanherd_operator import sources
from swanherd_operator.document import (
    FLAG,
    Backend,
    Deployment,
    Refused,
    enable,
    load,
    parse,
)
from swanherd_operator.enabling import Images, notes
from swanherd_operator.outputs import files, helm, kolla, osdpl, texts
from swanherd_operator.sources import Unreadable

FORMATS = {
    "osdpl": osdpl.render,
    "helm": helm.render,
    "kolla": kolla.render,
    "files": files.render,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was asked for; the exit status is 1 if it is refused, 2 for a wrong call."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.agent_image and not options.server_image:
        parser.error("--agent-image needs --server-image")
    try:
        print(answer(options), end="")
    except (Refused, Unreadable) as error:
        print(f"swanherd-enable: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
    return 0


def answer(options: argparse.Namespace) -> str:
    """Return what is printed; Refused or Unreadable if there is no answer."""
    document = load(_text(options), options.name)
    enabled = options.action == "enable"
    before = parse(document)
    # What enabling would mean is refused before anything is printed, whatever the flag is now.
    after = parse(enable(document, enabled=enabled))
    if options.action == "show":
        return _told(before)
    if before.backend is Backend.OPENSDN:
        raise Refused("spec.features.neutron.backend", "OpenSDN has no VPN to disable")
    if not enabled:
        _refuse_in_use(options)
    images = None
    if server := options.server_image:
        images = Images(server, options.agent_image or server)
    if options.diff:
        return _difference(document, osdpl.patch(after, images, enabled=enabled))
    head = "".join(f"# {note}\n" for note in (notes(after) if enabled else ()))
    body = FORMATS[options.format](after, images, enabled=enabled)
    return head + body


def _refuse_in_use(options: argparse.Namespace) -> None:
    """Refuse to disable what is used: tunnels would go on or end with nobody to manage them."""
    if options.force:
        return
    if not options.os_cloud:
        raise Refused(
            FLAG,
            "whether VPN services exist isn't known: name the cloud by --os-cloud, or say --force",
        )
    if count := sources.vpn_services(options.os_cloud):
        raise Refused(
            FLAG,
            f"{count} VPN service(s) exist; delete them first, or say --force. "
            "Their rows stay in the database either way",
        )


def _text(options: argparse.Namespace) -> str:
    if options.cluster:
        namespace, _, name = options.cluster.rpartition("/")
        return sources.from_cluster(namespace or "openstack", name)
    return sources.read(options.document)


def _told(deployment: Deployment) -> str:
    return texts.yaml_of(
        {
            "name": deployment.name,
            "namespace": deployment.namespace,
            "openstack_version": deployment.release,
            "backend": str(deployment.backend),
            "vpnaas": deployment.enabled,
        }
    )


def _difference(document: Mapping[str, Any], patch: Mapping[str, Any]) -> str:
    """Return what the patch changes in the document, as a unified diff; empty if nothing."""
    before, after = texts.yaml_of(document), texts.yaml_of(osdpl.merged(document, patch))
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), "before", "after"
    )
    return "".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="swanherd-enable", description=__doc__)
    parser.add_argument("action", choices=("enable", "disable", "show"))
    parser.add_argument(
        "document", nargs="?", default="-", help="a file with the resource; - is standard input"
    )
    parser.add_argument(
        "--cluster", metavar="[NAMESPACE/]NAME", help="read the resource from the cluster instead"
    )
    parser.add_argument("--name", help="the resource's name, if the document has several")
    parser.add_argument(
        "--format", choices=tuple(FORMATS), default="osdpl", help="for which way to deploy"
    )
    parser.add_argument("--server-image", help="Neutron's image with Swanherd, for servers")
    parser.add_argument("--agent-image", help="the same for agents; by default the server's")
    parser.add_argument("--diff", action="store_true", help="what changes in the resource")
    parser.add_argument("--os-cloud", help="the cloud to ask for VPN services before disabling")
    parser.add_argument("--force", action="store_true", help="disable whatever exists")
    return parser
