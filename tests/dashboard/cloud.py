"""A Neutron in memory, answering as the SDK's proxy does: what the panel talks to in its tests."""

import dataclasses
import uuid
from typing import Any
from unittest import mock

from openstack_dashboard import api

KINDS = {
    "vpn/ipsec-site-connections": "ipsec_site_connection",
    "vpn/vpnservices": "vpnservice",
    "vpn/endpoint-groups": "endpoint_group",
    "vpn/ikepolicies": "ikepolicy",
    "vpn/ipsecpolicies": "ipsecpolicy",
    "routers": "router",
    "subnets": "subnet",
    "networks": "network",
    "ports": "port",
    "agents": "agent",
}
DEFAULTS = {"name": "", "description": ""}
KEY = "kept-secret-Q7"


@dataclasses.dataclass
class Reply:
    status_code: int
    body: Any = None

    def json(self) -> Any:
        return self.body


@dataclasses.dataclass
class FakeNeutron:
    """Rows by path and id; `refusals` are answered instead, by method and path."""

    project_id: str
    rows: dict[str, dict[str, dict[str, Any]]] = dataclasses.field(
        default_factory=lambda: {path: {} for path in KINDS}
    )
    refusals: dict[tuple[str, str], Reply] = dataclasses.field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, Any]]] = dataclasses.field(default_factory=list)

    def add(self, path: str, **row: Any) -> dict[str, Any]:
        made = {"id": str(uuid.uuid4()), "project_id": self.project_id, **DEFAULTS, **row}
        if path == "vpn/ipsecpolicies":
            made = {"transform_protocol": "esp", "encapsulation_mode": "tunnel", **made}
        self.rows[path][made["id"]] = made
        return made

    def request(self, url: str, method: str, *, log: bool, **arguments: Any) -> Reply:
        assert log is False, "keystoneauth would log the body"
        self.asked.append((method, url, arguments))
        path = url.lstrip("/")
        if reply := self.refusals.get((method, path)):
            return reply
        if path in KINDS:
            return self._collection(path, method, arguments)
        collection, _, row_id = path.rpartition("/")
        if row_id not in self.rows[collection]:
            return refusal(404, f"{KINDS[collection]} {row_id} could not be found")
        return self._one(collection, row_id, method, arguments)

    def _collection(self, path: str, method: str, arguments: dict[str, Any]) -> Reply:
        if method == "POST":
            made = self.add(path, **arguments["json"][KINDS[path]])
            return Reply(201, {KINDS[path]: made})
        params = arguments.get("params", [])
        fields = [value for key, value in params if key == "fields"]
        filters: dict[str, list[str]] = {}
        for key, value in params:
            if key != "fields":
                filters.setdefault(key, []).append(value)
        chosen = [
            cut(row, fields)
            for row in self.rows[path].values()
            if all(str(row.get(key)) in values for key, values in filters.items())
        ]
        return Reply(200, {f"{path.rpartition('/')[2].replace('-', '_')}": chosen})

    def _one(self, path: str, row_id: str, method: str, arguments: dict[str, Any]) -> Reply:
        if method == "DELETE":
            del self.rows[path][row_id]
            return Reply(204)
        if method == "PUT":
            self.rows[path][row_id].update(arguments["json"][KINDS[path]])
        fields = [value for key, value in arguments.get("params", []) if key == "fields"]
        return Reply(200, {KINDS[path]: cut(self.rows[path][row_id], fields)})


def cut(row: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not fields or key in fields}


def refusal(status: int, message: str) -> Reply:
    return Reply(status, {"NeutronError": {"type": "X", "message": message, "detail": ""}})


def with_a_tunnel(cloud: FakeNeutron, **attributes: Any) -> dict[str, Any]:
    """Add a router, its subnet, policies, groups, a service and a connection, and return that."""
    router = cloud.add("routers", name="site", external_gateway_info={"network_id": "ext"})
    subnet = cloud.add("subnets", name="net-a", cidr="10.1.0.0/24", ip_version=4)
    cloud.add(
        "ports",
        device_id=router["id"],
        device_owner="network:router_interface",
        fixed_ips=[{"subnet_id": subnet["id"], "ip_address": "10.1.0.1"}],
    )
    algorithms = {
        "encryption_algorithm": "aes-256",
        "auth_algorithm": "sha256",
        "pfs": "group19",
        "lifetime": {"units": "seconds", "value": 3600},
    }
    ike = cloud.add(
        "vpn/ikepolicies",
        name="ike",
        ike_version="v2",
        phase1_negotiation_mode="main",
        **algorithms,
    )
    ipsec = cloud.add(
        "vpn/ipsecpolicies",
        name="esp",
        transform_protocol="esp",
        encapsulation_mode="tunnel",
        **algorithms,
    )
    service = cloud.add(
        "vpn/vpnservices",
        name="vpn",
        router_id=router["id"],
        subnet_id=None,
        status="ACTIVE",
        external_v4_ip="198.51.100.23",
        external_v6_ip=None,
    )
    local = cloud.add("vpn/endpoint-groups", type="subnet", endpoints=[subnet["id"]])
    peer = cloud.add("vpn/endpoint-groups", type="cidr", endpoints=["10.9.0.0/24"])
    return cloud.add(
        "vpn/ipsec-site-connections",
        **{
            "name": "to-office",
            "description": "",
            "status": "ACTIVE",
            "status_code": None,
            "status_reason": None,
            "status_since": "2026-11-26T20:00:00Z",
            "peer_address": "203.0.113.7",
            "peer_id": "203.0.113.7",
            "local_id": "",
            "peer_cidrs": [],
            "vpnservice_id": service["id"],
            "ikepolicy_id": ike["id"],
            "ipsecpolicy_id": ipsec["id"],
            "local_ep_group_id": local["id"],
            "peer_ep_group_id": peer["id"],
            "mtu": 1500,
            "initiator": "bi-directional",
            "dpd": {"action": "restart", "interval": 10, "timeout": 30},
            "admin_state_up": True,
            "psk": KEY,
            "revision_wanted": 7,
            "revision_applied": 7,
            "effective_mtu": 1398,
            "details": DETAILS,
            "events": [
                {"at": "2026-11-26T20:00:00Z", "status": "ACTIVE", "code": None, "text": None}
            ],
            **attributes,
        },
    )


DETAILS = {
    "at": "2026-11-26T20:01:00Z",
    "ike": {
        "version": "v2",
        "encryption": "aes-256",
        "integrity": "sha256",
        "prf": "sha256",
        "dh_group": "group19",
        "initiator": True,
        "established_s": 60,
        "rekey_in_s": 3000,
        "nat": False,
    },
    "children": [
        {
            "local": "10.1.0.0/24",
            "remote": "10.9.0.0/24",
            "encryption": "aes-256",
            "integrity": "sha256",
            "dh_group": None,
            "bytes_in": 1500,
            "bytes_out": 2500,
            "packets_in": 15,
            "packets_out": 25,
            "installed_s": 60,
            "rekey_in_s": 3000,
            "expires_in_s": 3500,
        }
    ],
}


class OnFakeNeutron:
    """What Horizon's test cases have beside them: the panel talks to `cloud`."""

    def setUp(self):
        super().setUp()
        self.cloud = FakeNeutron(self.tenant.id)
        patcher = mock.patch.object(api.neutron, "networkclient", return_value=self.cloud)
        patcher.start()
        self.addCleanup(patcher.stop)
