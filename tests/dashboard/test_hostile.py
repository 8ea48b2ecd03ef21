"""Whatever is typed into a form, it is answered: an error beside the field, or it is done."""

from django.urls import reverse

from tests.dashboard import test_forms as plain
from tests.dashboard.cloud import KEY, refusal, with_a_tunnel
from tests.dashboard.test_forms import AJAX, CONNECT, CONNECTIONS, GROUPS

PATHS = (CONNECTIONS, GROUPS, "vpn/vpnservices", "vpn/ikepolicies", "vpn/ipsecpolicies")
HOSTILE = (
    "",
    " ",
    "\0",
    "n" * 100_000,
    "9" * 5000,
    "-1",
    "1e9",
    "٣",  # a digit, as Python reads it
    "\u202eabc\u202c",
    "שלום",
    "😀" * 255,
    "<script>alert(1)</script>\"'",
    "%s %(x)s {0} {{ x }} {% debug %}",
    "::",
    "::ffff:198.51.100.9",
    "fe80::1%eth0",
    "fe80::1%eth0/64",
    "2001:db8::9",
    "2001:db8::/32",
    "[2001:db8::9]:500",
    "::/0",
    "0.0.0.0/0",
    "10.9.0.0/33",
    "10.9.0.0/255.255.0.255",
    "010.009.000.001",
    ", ; \n",
)


class HostileForms(plain.Forms):
    """The guided form with each value in each field."""

    wanted = plain.Connect.wanted

    def test_each_value_in_each_field_is_answered(self):
        """Never by a failure; what is refused leaves nothing behind, and what was typed stays."""
        router, subnets = self.router(("10.1.0.0/24", "fd00:1::/64"))
        wanted = self.wanted(router, subnets)
        for field in (*wanted, "local_id", "peer_id", "description", "ike", "ipsec", "unknown"):
            for value in HOSTILE:
                before = {path: dict(self.cloud.rows[path]) for path in PATHS}
                answer = self.client.post(CONNECT, {**wanted, field: value}, **AJAX)
                assert answer.status_code == 200, (field, value)
                told = answer.json()
                if "errors" in told:
                    assert {path: self.cloud.rows[path] for path in PATHS} == before
                else:
                    assert told["location"], (field, value)

    def test_a_quota_of_any_kind_leaves_nothing_behind(self):
        """Whatever Neutron refuses first, what was made before it goes again."""
        router, subnets = self.router()
        for path in PATHS:
            sentence = f"Quota exceeded for resources: ['{path}']."
            self.cloud.refusals = {("POST", path): refusal(409, sentence)}
            answer = self.client.post(CONNECT, self.wanted(router, subnets), **AJAX)
            assert answer.json()["errors"] == {"__all__": [sentence]}
            assert not any(self.cloud.rows[each] for each in PATHS)

    def test_a_name_has_room_for_its_ip_version(self):
        """Two connections are called name-v4 and name-v6; Neutron takes 255 characters."""
        router, subnets = self.router(("10.1.0.0/24", "fd00:1::/64"))
        both = {"peer_cidrs": "10.9.0.0/24 fd00:9::/64"}
        said = self.client.post(
            CONNECT, self.wanted(router, subnets, name="n" * 253, **both), **AJAX
        )
        assert said.json()["errors"] == {"name": ["Give at most 252 characters."]}
        self.client.post(CONNECT, self.wanted(router, subnets, name="n" * 252, **both), **AJAX)
        assert {len(row["name"]) for row in self.cloud.rows[CONNECTIONS].values()} == {255}

    def test_queries_of_the_list_are_answered(self):
        """A page and a filter of any kind, and ids of any kind for what is live."""
        for value in HOSTILE[2:]:
            index = reverse("horizon:project:swanherd:index")
            assert self.client.get(index, {"q": value, "page": value}).status_code == 200
            live = reverse("horizon:project:swanherd:live")
            assert self.client.get(live, {"id": [value]}).json() == {"connections": []}


class HostileEdits(plain.Forms):
    """The form of a live connection."""

    values = plain.Edit.values

    def setUp(self):
        super().setUp()
        self.shown = with_a_tunnel(self.cloud)
        self.address = reverse("horizon:project:swanherd:edit", args=(self.shown["id"],))

    def test_each_value_in_each_field_is_answered(self):
        """Never by a failure, and never with the key."""
        for field in self.values():
            for value in HOSTILE:
                answer = self.client.post(self.address, self.values(**{field: value}), **AJAX)
                assert answer.status_code == 200, (field, value)
                assert answer.json().keys() & {"errors", "outlook"}, (field, value)
                assert KEY not in answer.content.decode()

    def test_a_router_whose_gateway_is_gone_meanwhile(self):
        """The form comes, and says beside the subnets that they can't be used."""
        (router,) = self.cloud.rows["routers"].values()
        router["external_gateway_info"] = None
        assert self.client.get(self.address).status_code == 200
        answer = self.client.post(self.address, self.values(), **AJAX)
        assert "subnets" in answer.json()["errors"]

    def test_a_service_of_another_project(self):
        """An administrator may have made it so; the connection's pages say that it isn't there."""
        (service,) = self.cloud.rows["vpn/vpnservices"].values()
        service["project_id"] = "another"
        for name in ("edit", "connection"):
            address = reverse(f"horizon:project:swanherd:{name}", args=(self.shown["id"],))
            assert self.client.get(address, follow=True).status_code == 200
        assert self.client.get(reverse("horizon:project:swanherd:picture")).status_code == 200
