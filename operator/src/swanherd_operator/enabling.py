"""What enabling means: the settings of server and agents, apart from any way to deploy them."""

from __future__ import annotations

import dataclasses

from swanherd_operator.document import Backend, Deployment

NEUTRON_USER = 42424  # uid and gid of Neutron in the images of openstack-helm and kolla
GATEWAY_LABEL = ("openstack-gateway", "enabled")
AGENT = "neutron-ovn-vpn-agent"

# Releases whose Neutron Swanherd's own tests run on, and those with a part of them (README.md,
# "Releases of Neutron": caracal is 24, epoxy 26).
TESTED = ("master",)
PARTLY = ("caracal", "epoxy")

_DRIVERS = "neutron_vpnaas.services.vpn"


@dataclasses.dataclass(frozen=True, slots=True)
class Images:
    """The images with Swanherd in place of neutron-vpnaas: one for servers, one for agents."""

    server: str
    agent: str


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a backend needs, in the words that deployers already write for neutron-vpnaas.

    Swanherd takes them for its own: the class paths choose the provider's name and nothing else.
    """

    service_plugin: str
    service_provider: str
    device_driver: str
    own_agent: bool

    @property
    def l3_extension(self) -> str | None:
        """The extension of the L3 agent, where that serves the routers."""
        return None if self.own_agent else "vpnaas"


def settings(backend: Backend) -> Settings:
    """Return the settings for a backend that has VPNs."""
    match backend:
        case Backend.OVN:
            return Settings(
                "ovn-vpnaas",
                f"VPN:strongswan:{_DRIVERS}.service_drivers.ovn_ipsec.IPsecOvnVPNDriver:default",
                f"{_DRIVERS}.device_drivers.ovn_ipsec.OvnStrongSwanDriver",
                own_agent=True,
            )
        case Backend.OVS:
            return Settings(
                "vpnaas",
                f"VPN:strongswan:{_DRIVERS}.service_drivers.ipsec.IPsecVPNDriver:default",
                f"{_DRIVERS}.device_drivers.strongswan_ipsec.StrongSwanDriver",
                own_agent=False,
            )
        case _:
            raise ValueError(f"{backend} has no VPN")


def notes(deployment: Deployment) -> tuple[str, ...]:
    """Return what an operator should know before following the output."""
    found = []
    if deployment.release not in TESTED:
        partly = deployment.release in PARTLY
        found.append(
            "Swanherd's own tests run on Neutron 29 (2026.2)"
            + (", and a part of them on " if partly else " and not on ")
            + f"{deployment.release}: see the table in its README before relying on it."
        )
    if deployment.backend is Backend.OVN:
        found.append(
            "Each router with a VPN takes one more public address of each family on the "
            "external network."
        )
        key, value = GATEWAY_LABEL
        found.append(f"The agent runs on the nodes that are labelled {key}={value}.")
    return tuple(found)
