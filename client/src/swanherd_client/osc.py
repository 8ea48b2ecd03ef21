"""`openstack vpn ipsec site connection export`."""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from osc_lib import exceptions
from osc_lib.command import command

from swanherd_client import peers
from swanherd_client.tunnel import Unsayable, gather

CONNECTIONS = "vpn/ipsec-site-connections"


class ExportConnection(command.Command):  # type: ignore[misc]
    """Print the configuration that the other side of a connection needs"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the command's grammar."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("connection", help="IPsec site connection (name or ID)")
        parser.add_argument(
            "--device",
            required=True,
            choices=sorted(peers.DEVICES),
            help="what the other side is",
        )
        parser.add_argument("--with-psk", action="store_true", help="write the pre-shared key too")
        parser.add_argument(
            "--directory", help="write files there, readable by you alone (default: print them)"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Read the connection and write what its device needs."""
        network = self.app.client_manager.network
        found = find(network, parsed_args.connection)
        try:
            tunnel, psk = gather(lambda path: read(network, path), found)
            key = psk if parsed_args.with_psk else None
            files = peers.export(parsed_args.device, tunnel, key)
        except Unsayable as error:
            raise exceptions.CommandError(str(error)) from error
        for file in files:
            if parsed_args.directory:
                write(pathlib.Path(parsed_args.directory) / file.name, file.text)
            else:
                sys.stdout.write(file.text)


def find(network: Any, name: str) -> str:
    """Return the id of the connection of that id or name; its key isn't asked for."""
    for key in ("id", "name"):
        found = read(network, CONNECTIONS, [("fields", "id"), (key, name)])
        if len(found) > 1:
            raise exceptions.CommandError(
                f"there are several connections named {name}: say the ID"
            )
        if found:
            return str(found[0]["id"])
    raise exceptions.CommandError(f"there is no connection {name}")


def read(network: Any, path: str, params: Sequence[tuple[str, str]] = ()) -> Any:
    """Return a resource of Neutron's API, or several, without the envelope."""
    # log=False: keystoneauth writes bodies, keys too, into its log at the level debug.
    reply = network.request(f"/{path}", "GET", params=list(params), log=False)
    if reply.status_code != 200:
        raise exceptions.CommandError(f"{path}: {reply.status_code} {reply.text}")
    (body,) = (value for key, value in reply.json().items() if not key.endswith("_links"))
    return body


def write(path: pathlib.Path, text: str) -> None:
    """Write a file that may hold a key: nobody else can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    sys.stdout.write(f"{path}\n")
