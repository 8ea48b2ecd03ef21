"""Every `openstack vpn` command with every option, in one process; run in a client's box.

What there is to call is read from the installed client's own parsers, so that an option that is
new is a failure until a value for it stands here. Prints JSON: each call, and what it said if it
failed. Arguments: an entry of clouds.yaml, `short` (a choice an option) or `all` (every choice).
"""

import argparse
import contextlib
import importlib.metadata
import io
import itertools
import json
import os
import sys
import warnings

warnings.simplefilter("ignore")

import openstack  # noqa: E402
from openstackclient import shell  # noqa: E402

GROUPS = ("endpoint_group", "ike_policy", "ipsec_policy", "ipsec_site_connection", "service")
_numbers = itertools.count(1)
# The provider that is there where a deployer has written none.
DRIVERS = {"swanherd": "swanherd.server.plugin.SwanherdPlugin"}
# What an earlier run left has other names.
BASE = f"base{os.getpid()}"


class Stage:
    """What the commands need to be there."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.network = network = openstack.connect(cloud=cloud).network
        public = network.find_network("public")
        net = network.create_network(name=BASE)
        self.subnet = network.create_subnet(
            network_id=net.id, name=BASE, ip_version=4, cidr="10.210.0.0/24"
        )
        self.router = network.create_router(
            name=BASE, external_gateway_info={"network_id": public.id}
        )
        network.add_interface_to_router(self.router, subnet_id=self.subnet.id)
        flavor = network.create_flavor(name=BASE, service_type="VPN", is_enabled=True)
        (provider,) = network.service_providers(service_type="VPN")
        profile = network.create_service_profile(driver=DRIVERS[provider.name], is_enabled=True)
        network.associate_flavor_with_service_profile(flavor, profile)
        for kind, options in (
            ("service", ["--router", self.router.id]),
            ("ike_policy", []),
            ("ipsec_policy", []),
        ):
            call(self, kind, "create", [*options, f"{BASE}-{kind}"])
        whole = ["--router", self.router.id, "--subnet", self.subnet.id, f"{BASE}-subnet-service"]
        call(self, "service", "create", whole)
        local = ["--type", "subnet", "--value", self.subnet.id, f"{BASE}-local"]
        call(self, "endpoint_group", "create", local)

    def peer_group(self):
        number = next(_numbers)
        made = self.network.create_vpn_endpoint_group(
            name=f"{BASE}-peer-{number}", type="cidr", endpoints=[f"10.211.{number}.0/24"]
        )
        return made.name


def required(stage, kind, dest):
    """Return what a creation needs beside the name and the option that is tried."""
    if kind == "endpoint_group":
        return ["--type", "cidr", "--value", f"10.212.{next(_numbers)}.0/24"]
    if kind == "service":
        return ["--router", stage.router.id]
    if kind == "ike_policy" and dest in ("encryption_algorithm", "auth_algorithm"):
        return ["--ike-version", "v2"]  # IKEv1 can't have all of them
    if kind != "ipsec_site_connection":
        return []
    whole = dest == "peer_cidrs"
    service = f"{BASE}-subnet-service" if whole else f"{BASE}-service"
    groups = [
        "--local-endpoint-group",
        f"{BASE}-local",
        "--peer-endpoint-group",
        stage.peer_group(),
    ]
    number = next(_numbers)
    return [
        *("--vpnservice", service, "--ikepolicy", f"{BASE}-ike_policy"),
        *("--ipsecpolicy", f"{BASE}-ipsec_policy", "--psk", "a key"),
        *("--peer-id", f"peer-{number}", "--peer-address", f"192.0.2.{number % 250 + 1}"),
        *(() if whole else groups),
    ]


def value(stage, kind, dest):
    """Return a value for an option without choices; KeyError for one that nobody knows."""
    number = next(_numbers)
    return {
        "description": "words of a person",
        "name": f"renamed-{number}",
        "project": "admin",
        "project_domain": "Default",
        "lifetime": "units=seconds,value=600",
        "dpd": "action=restart,interval=20,timeout=100",
        "mtu": "1400",
        "endpoints": f"10.213.{number}.0/24",
        "subnet": stage.subnet.id,
        "flavor": BASE,
        "router": stage.router.id,
        "peer_cidrs": f"10.214.{number}.0/24",
        "local_endpoint_group": f"{BASE}-local",
        "peer_endpoint_group": stage.peer_group() if dest == "peer_endpoint_group" else "",
        "local_id": "here.example",
        "peer_id": f"there-{number}.example",
        "peer_address": f"192.0.2.{number % 250 + 1}",
        "psk": "a key",
        "vpnservice": f"{BASE}-service",
        "ikepolicy": f"{BASE}-ike_policy",
        "ipsecpolicy": f"{BASE}-ipsec_policy",
    }[dest]


def options_of(kind, verb):
    """Return a command's own options, without those of how the output looks."""
    entries = importlib.metadata.entry_points(group="openstack.network.v2.vpnaas")
    (entry,) = [e for e in entries if e.name == f"vpn_{kind}_{verb}"]
    parser = entry.load()(None, None).get_parser("x")
    return [
        action
        for action in parser._actions
        if "format" not in (action.container.title or "").lower()
        and not isinstance(action, argparse._HelpAction)
    ]


def values_of(stage, kind, action, everything):
    """Yield the arguments by which an option is tried."""
    flag = action.option_strings[0]
    if action.nargs == 0:
        yield [flag]
    elif action.choices:
        for choice in action.choices if everything else list(action.choices)[:1]:
            yield [flag, choice]
    else:
        extra = ["--project", "admin"] if action.dest == "project_domain" else []
        yield [flag, value(stage, kind, action.dest), *extra]


def call(stage, kind, verb, arguments):
    """Run one command; what it said if it failed, else None."""
    words = ["vpn", *kind.split("_"), verb]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = shell.main(["--os-cloud", stage.cloud, *words, *arguments])
    return said.getvalue().strip() if status else None


def creations(stage, kind, everything):
    """Yield every creation: plain, and with each option."""
    called = f"{BASE}-made-{next(_numbers)}"
    plain = [*required(stage, kind, None), called]
    yield f"{kind} create", plain, called
    there = {argument for argument in plain if argument.startswith("--")}
    for action in options_of(kind, "create"):
        if not action.option_strings:
            continue
        for arguments in values_of(stage, kind, action, everything):
            if arguments[0] in there and not action.choices and action.dest != "peer_cidrs":
                continue
            called = f"{BASE}-made-{next(_numbers)}"
            base = required(stage, kind, action.dest)
            if arguments[0] in base:
                at = base.index(arguments[0])
                base[at : at + 2] = []
            if kind == "endpoint_group" and action.dest == "type" and arguments[1] == "subnet":
                base[base.index("--value") + 1] = stage.subnet.id
            label = f"{kind} create {_label(action, arguments)}"
            yield label, [*base, *arguments, called], called


def _label(action, arguments):
    return " ".join(arguments if action.choices else arguments[:1])


def changes(stage, kind, everything):
    """Yield every change of what the first creation made."""
    for action in options_of(kind, "set"):
        if not action.option_strings:
            continue
        for arguments in values_of(stage, kind, action, everything):
            more = []
            if kind == "ike_policy" and action.dest in ("encryption_algorithm", "auth_algorithm"):
                more = ["--ike-version", "v2"]
            yield f"{kind} set {_label(action, arguments)}", [*arguments, *more]


def run(stage, everything):
    """Yield what became of each call."""
    for kind in GROUPS:
        made, target = [], None
        for label, arguments, called in creations(stage, kind, everything):
            error = call(stage, kind, "create", arguments)
            yield label, error
            if error is None:
                made.append(called)
                target = target or called
        for label, arguments in changes(stage, kind, everything):
            whose = target
            if "--peer-cidr" in arguments:
                whose = next((n for n in made if _has_cidrs(stage, n)), target)
            error = call(stage, kind, "set", [*arguments, whose])
            if error is None and arguments[0] == "--name":
                made[made.index(whose)] = arguments[1]
                target = arguments[1]
            yield label, error
        for verb, arguments in (("list", []), ("list", ["--long"]), ("show", [target])):
            yield (
                f"{kind} {verb} {' '.join(arguments[:1] if verb == 'list' else [])}".strip(),
                (call(stage, kind, verb, arguments)),
            )
        yield f"{kind} delete", call(stage, kind, "delete", made)


def _has_cidrs(stage, name):
    found = stage.network.find_vpn_ipsec_site_connection(name)
    return bool(found and found.peer_cidrs)


def main():
    cloud, extent = sys.argv[1:]
    stage = Stage(cloud)
    calls = [[label, error] for label, error in run(stage, extent == "all")]
    json.dump(calls, sys.stdout)


if __name__ == "__main__":
    main()
