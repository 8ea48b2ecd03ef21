from django.urls import reverse
from openstack_dashboard.test import helpers

from tests.dashboard.cloud import KEY, OnFakeNeutron, refusal, with_a_tunnel

CONNECT = reverse("horizon:project:swanherd:connect")
AJAX = {"HTTP_X_REQUESTED_WITH": "XMLHttpRequest"}
STRONG = "a-long-and-random-key-9W"
CONNECTIONS, GROUPS = "vpn/ipsec-site-connections", "vpn/endpoint-groups"


class Forms(OnFakeNeutron, helpers.TestCase):
    """The forms on a Neutron in memory."""

    def router(self, cidrs=("10.1.0.0/24",), gateway=True, **attributes):
        gateway_info = {"network_id": "ext"} if gateway else None
        router = self.cloud.add(
            "routers", name="site", external_gateway_info=gateway_info, **attributes
        )
        subnets = [self.cloud.add("subnets", name="net", cidr=cidr) for cidr in cidrs]
        self.cloud.add(
            "ports",
            device_id=router["id"],
            device_owner="network:router_interface",
            fixed_ips=[{"subnet_id": each["id"]} for each in subnets],
        )
        return router, [each["id"] for each in subnets]

    def written(self):
        return [(method, url) for method, url, _ in self.cloud.asked if method != "GET"]


class Connect(Forms):
    def wanted(self, router, subnets, **changed):
        return {
            "name": "office",
            "router": router["id"],
            "subnets": subnets,
            "peer_address": "203.0.113.7",
            "peer_cidrs": "10.9.0.0/24",
            "psk": STRONG,
            "profile": "modern",
            "initiator": "bi-directional",
            "dpd_action": "restart",
            "dpd_interval": "30",
            "dpd_timeout": "120",
            "mtu": "0",
            **changed,
        }

    def errors(self, **changed):
        router, subnets = self.router()
        values = {**self.wanted(router, subnets), **changed}
        answer = self.client.post(CONNECT, values, **AJAX)
        assert self.written() == []
        return answer.json()["errors"]

    def test_from_nothing_to_a_tunnel(self):
        """One form makes policies, groups, service and connection."""
        router, subnets = self.router()
        assert self.client.get(CONNECT).status_code == 200
        answer = self.client.post(CONNECT, self.wanted(router, subnets))
        (made,) = self.cloud.rows[CONNECTIONS].values()
        self.assertRedirectsNoFollow(
            answer, reverse("horizon:project:swanherd:connection", args=(made["id"],))
        )
        assert (made["peer_id"], made["psk"]) == ("203.0.113.7", STRONG)
        local = self.cloud.rows[GROUPS][made["local_ep_group_id"]]
        peer = self.cloud.rows[GROUPS][made["peer_ep_group_id"]]
        assert (local["type"], local["endpoints"]) == ("subnet", subnets)
        assert (peer["type"], peer["endpoints"]) == ("cidr", ["10.9.0.0/24"])
        (ike,) = self.cloud.rows["vpn/ikepolicies"].values()
        assert (ike["ike_version"], ike["encryption_algorithm"]) == ("v2", "aes-256-gcm-16")
        (service,) = self.cloud.rows["vpn/vpnservices"].values()
        assert service["router_id"] == router["id"]

    def test_two_ip_versions_are_two_connections_that_share_everything(self):
        """One key, one identity, one service, one pair of policies."""
        router, subnets = self.router(("10.1.0.0/24", "fd00:1::/64"))
        wanted = self.wanted(router, subnets, peer_cidrs="10.9.0.0/24\nfd00:9::/64")
        self.client.post(CONNECT, wanted)
        four, six = self.cloud.rows[CONNECTIONS].values()
        assert {four["name"], six["name"]} == {"office-v4", "office-v6"}
        for same in ("psk", "peer_id", "vpnservice_id", "ikepolicy_id", "ipsecpolicy_id"):
            assert four[same] == six[same]

    def test_what_is_there_is_used_again(self):
        """A second connection needs no second service and no second pair of policies."""
        router, subnets = self.router()
        self.client.post(CONNECT, self.wanted(router, subnets))
        self.client.post(CONNECT, self.wanted(router, subnets, peer_cidrs="10.8.0.0/24"))
        for path in ("vpn/vpnservices", "vpn/ikepolicies", "vpn/ipsecpolicies"):
            assert len(self.cloud.rows[path]) == 1

    def test_each_error_stands_beside_its_field(self):
        """The API's rules are checked before anything is made."""
        for changed, field in (
            ({"peer_address": "no address!"}, "peer_address"),
            ({"peer_address": "0.0.0.0"}, "peer_id"),
            ({"peer_id": "two words"}, "peer_id"),
            ({"peer_cidrs": "10.9.0.0"}, "peer_cidrs"),
            ({"peer_cidrs": "fd00:9::/64"}, "peer_cidrs"),
            ({"subnets": []}, "subnets"),
            ({"psk": ""}, "psk"),
            ({"psk": "short"}, "psk"),
            ({"psk": f" {STRONG}"}, "psk"),
            ({"dpd_timeout": "30"}, "dpd_timeout"),
            ({"dpd_interval": "x"}, "dpd_interval"),
            ({"mtu": "60"}, "mtu"),
            ({"name": ""}, "name"),
            ({"name": "n" * 256}, "name"),
            ({"profile": "own"}, "ike"),
            ({"router": "elsewhere"}, "router"),
        ):
            assert field in self.errors(**changed), changed

    def test_a_router_without_a_gateway_is_not_offered(self):
        """The API would refuse it."""
        self.router(gateway=False)
        other, _ = self.router(project_id="another")
        page = self.client.get(CONNECT).content.decode()
        assert f'value="{other["id"]}"' not in page
        assert 'name="router"' in page

    def test_what_was_made_goes_if_neutron_refuses(self):
        """Neutron's sentence stands beside the field, and nothing is left behind."""
        router, subnets = self.router()
        said = refusal(409, "Another connection has these networks.")
        said.body["NeutronError"]["type"] = "SelectorInUse"
        self.cloud.refusals["POST", CONNECTIONS] = said
        answer = self.client.post(CONNECT, self.wanted(router, subnets), **AJAX)
        assert answer.json()["errors"] == {
            "peer_cidrs": ["Another connection has these networks."]
        }
        for path in (GROUPS, "vpn/vpnservices", "vpn/ikepolicies", "vpn/ipsecpolicies"):
            assert self.cloud.rows[path] == {}

    def test_a_key_that_was_typed_is_not_sent_back(self):
        """Neither in a form with errors nor in the address that the script goes to afterwards."""
        router, subnets = self.router()
        answer = self.client.post(CONNECT, self.wanted(router, subnets, peer_cidrs="?"))
        assert answer.status_code == 200
        assert STRONG not in answer.content.decode()
        answer = self.client.post(CONNECT, self.wanted(router, subnets), **AJAX)
        assert answer.json().keys() == {"location"}
        assert STRONG not in answer.content.decode()
        assert STRONG not in repr(dict(self.client.session.items()))

    def test_policies_of_ones_own(self):
        """Those of the project can be chosen; weak ones are marked."""
        with_a_tunnel(self.cloud)
        (ike,) = self.cloud.rows["vpn/ikepolicies"].values()
        (ipsec,) = self.cloud.rows["vpn/ipsecpolicies"].values()
        ike["auth_algorithm"] = "sha1"
        self.assertContains(self.client.get(CONNECT), "(weak: sha1)")
        router, subnets = self.router(("10.5.0.0/24",))
        own = {"profile": "own", "ike": ike["id"], "ipsec": ipsec["id"]}
        self.client.post(CONNECT, self.wanted(router, subnets, **own))
        made = list(self.cloud.rows[CONNECTIONS].values())[-1]
        assert (made["ikepolicy_id"], made["ipsecpolicy_id"]) == (ike["id"], ipsec["id"])

    def test_no_forgery(self):
        """Without Django's token nothing is made."""
        router, subnets = self.router()
        client = self.client_class(enforce_csrf_checks=True)
        client.cookies = self.client.cookies
        assert client.post(CONNECT, self.wanted(router, subnets)).status_code == 403
        assert self.written() == []


class Edit(Forms):
    def setUp(self):
        super().setUp()
        self.shown = with_a_tunnel(self.cloud)
        self.address = reverse("horizon:project:swanherd:edit", args=(self.shown["id"],))

    def values(self, **changed):
        subnets = self.cloud.rows[GROUPS][self.shown["local_ep_group_id"]]["endpoints"]
        return {
            "name": "to-office",
            "subnets": subnets,
            "peer_address": "203.0.113.7",
            "peer_id": "203.0.113.7",
            "peer_cidrs": "10.9.0.0/24",
            "psk": "",
            "profile": "keep",
            "initiator": "bi-directional",
            "dpd_action": "restart",
            "dpd_interval": "10",
            "dpd_timeout": "30",
            "mtu": "1500",
            "enabled": "on",
            **changed,
        }

    def outlook(self, **changed):
        answer = self.client.post(self.address, self.values(**changed), **AJAX)
        assert self.written() == []
        return " ".join(answer.json()["outlook"])

    def change(self, **changed):
        return self.client.post(self.address, self.values(confirmed="yes", **changed), **AJAX)

    def test_the_form_has_the_values_but_never_the_key(self):
        """The key isn't asked of Neutron, and an empty field leaves it as it is."""
        page = self.client.get(self.address).content.decode()
        assert "203.0.113.7" in page
        assert KEY not in page
        assert self.change(name="renamed").json()["location"]
        assert (self.shown["name"], self.shown["psk"]) == ("renamed", KEY)
        puts = [a["json"] for method, _, a in self.cloud.asked if method == "PUT"]
        assert puts == [{"ipsec_site_connection": {"name": "renamed"}}]

    def test_what_it_does_to_the_tunnel_is_said_before(self):
        """Nothing is changed until it is confirmed."""
        assert "isn't touched" in self.outlook(name="x")
        assert "segment sizes" in self.outlook(mtu="1300")
        assert "that differ" in self.outlook(peer_cidrs="10.9.0.0/24 10.8.0.0/24")
        assert "is replaced" in self.outlook(psk=STRONG)
        assert "is replaced" in self.outlook(profile="aws")
        assert "blocked" in self.outlook(enabled="")

    def test_without_the_script_it_is_a_page(self):
        """The page says it, with a button to do it."""
        answer = self.client.post(self.address, self.values(mtu="1300"))
        self.assertContains(answer, "segment sizes")
        self.assertContains(answer, 'name="confirmed"')
        assert self.written() == []

    def test_other_networks_are_other_groups(self):
        """The API's groups don't change: new ones are made, and ours of before go."""
        old = self.shown["peer_ep_group_id"]
        self.cloud.rows[GROUPS][old]["description"] = "Made by the dashboard with a connection."
        self.change(peer_cidrs="10.8.0.0/24")
        group = self.cloud.rows[GROUPS][self.shown["peer_ep_group_id"]]
        assert group["endpoints"] == ["10.8.0.0/24"]
        assert old not in self.cloud.rows[GROUPS]

    def test_a_row_with_two_spellings_of_a_network_can_be_edited(self):
        """Rows may be older than the rule: what is one network is shown and compared as one."""
        group = self.cloud.rows[GROUPS][self.shown["peer_ep_group_id"]]
        (subnet,) = self.cloud.rows["subnets"].values()
        subnet["cidr"], spelt = "fd00:1::/64", ["2001:DB8::/32", "2001:db8::1/32"]
        group["endpoints"] = spelt
        page = self.client.get(self.address).content.decode()
        assert "2001:db8::/32" in page
        assert not any(each in page for each in spelt)
        assert self.change(name="renamed", peer_cidrs="2001:db8::/32").json()["location"]
        assert [method for method, _ in self.written()] == ["PUT"]
        assert (self.shown["name"], group["endpoints"]) == ("renamed", spelt)
        self.change(peer_cidrs="2001:db8::/32 2001:db9::/32")
        group = self.cloud.rows[GROUPS][self.shown["peer_ep_group_id"]]
        assert group["endpoints"] == ["2001:db8::/32", "2001:db9::/32"]

    def test_other_policies(self):
        """A live connection moves to a profile's policies, which are made if need be."""
        self.change(profile="aws")
        ike = self.cloud.rows["vpn/ikepolicies"][self.shown["ikepolicy_id"]]
        assert (ike["name"], ike["pfs"]) == ("aws", "group20")

    def test_a_new_key(self):
        """Only the key is sent."""
        self.change(psk=STRONG)
        assert self.shown["psk"] == STRONG
        assert len([m for m, _ in self.written() if m == "PUT"]) == 1

    def test_the_old_way_of_networks_can_be_edited_too(self):
        """A service with a subnet: peer_cidrs change in place."""
        (service,) = self.cloud.rows["vpn/vpnservices"].values()
        (subnet,) = self.cloud.rows["subnets"].values()
        service["subnet_id"] = subnet["id"]
        self.shown.update(local_ep_group_id=None, peer_ep_group_id=None)
        self.shown["peer_cidrs"] = ["10.9.0.0/24"]
        values = {**EDIT_OF_OLD, "peer_cidrs": "10.7.0.0/24", "confirmed": "yes"}
        self.client.post(self.address, values, **AJAX)
        assert self.shown["peer_cidrs"] == ["10.7.0.0/24"]
        assert [method for method, _ in self.written()] == ["PUT"]

    def test_what_neutron_refuses_is_said_and_taken_back(self):
        """New groups go again; the connection stays as it was."""
        before = set(self.cloud.rows[GROUPS])
        path = f"{CONNECTIONS}/{self.shown['id']}"
        self.cloud.refusals["PUT", path] = refusal(400, "No.")
        answer = self.change(peer_cidrs="10.8.0.0/24")
        assert answer.json()["errors"] == {"__all__": ["No."]}
        assert set(self.cloud.rows[GROUPS]) == before

    def test_another_projects_connection_is_not_there(self):
        """Neither its form nor its change."""
        self.shown["project_id"] = "another"
        assert self.client.get(self.address).status_code == 302
        assert "could not be found" in str(self.change(name="stolen").json()["errors"])
        assert self.shown["name"] == "to-office"

    def test_delete_takes_what_the_dashboard_made(self):
        """Groups and service that it made for the connection go with it; others stay."""
        for path in (GROUPS, "vpn/vpnservices"):
            for row in self.cloud.rows[path].values():
                row["description"] = "Made by the dashboard with a connection."
        kept = self.shown["peer_ep_group_id"]
        self.cloud.rows[GROUPS][kept]["description"] = "mine"
        self.client.post(reverse("horizon:project:swanherd:delete", args=(self.shown["id"],)))
        assert set(self.cloud.rows[GROUPS]) == {kept}
        assert self.cloud.rows["vpn/vpnservices"] == {}


EDIT_OF_OLD = {
    "name": "to-office",
    "peer_address": "203.0.113.7",
    "peer_id": "203.0.113.7",
    "profile": "keep",
    "initiator": "bi-directional",
    "dpd_action": "restart",
    "dpd_interval": "10",
    "dpd_timeout": "30",
    "mtu": "1500",
    "enabled": "on",
}
