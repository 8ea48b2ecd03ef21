import uuid

from django.urls import reverse
from openstack_dashboard.test import helpers

from tests.dashboard.cloud import OnFakeNeutron, refusal, with_a_tunnel

POLICIES = reverse("horizon:project:swanherd:policies")
IKE, IPSEC = "vpn/ikepolicies", "vpn/ipsecpolicies"


def url(name, kind, *policy):
    return reverse(f"horizon:project:swanherd:policy_{name}", args=(kind, *policy))


class Policies(OnFakeNeutron, helpers.TestCase):
    """IKE and IPsec policies on a Neutron in memory."""

    def setUp(self):
        super().setUp()
        self.shown = with_a_tunnel(self.cloud)
        (self.ike,) = self.cloud.rows[IKE].values()
        (self.ipsec,) = self.cloud.rows[IPSEC].values()

    def written(self):
        return [(method, url) for method, url, _ in self.cloud.asked if method != "GET"]

    def values(self, **changed):
        return {
            "name": "ike",
            "ike_version": "v2",
            "phase1_negotiation_mode": "main",
            "encryption_algorithm": "aes-256",
            "auth_algorithm": "sha256",
            "pfs": "group19",
            "lifetime": "3600",
            **changed,
        }

    def test_the_list_tells_who_uses_each(self):
        """One in use links to its connections and can't be deleted; weak values are marked."""
        self.cloud.add(
            IKE, **{**self.ike, "id": str(uuid.uuid4()), "name": "spare", "pfs": "group2"}
        )
        page = self.client.get(POLICIES).content.decode()
        assert "to-office" in page
        assert "(weak: group2)" in page
        assert url("delete", "ike", self.ike["id"]) not in page

    def test_a_new_one(self):
        """All values go to the API in its own words."""
        assert self.client.get(url("new", "ipsec")).status_code == 200
        posted = {
            "name": "mine",
            "transform_protocol": "esp",
            "encapsulation_mode": "tunnel",
            "encryption_algorithm": "aes-128-gcm-16",
            "auth_algorithm": "sha256",
            "pfs": "group31",
            "lifetime": "7200",
        }
        self.assertRedirectsNoFollow(self.client.post(url("new", "ipsec"), posted), POLICIES)
        made = list(self.cloud.rows[IPSEC].values())[-1]
        assert (made["pfs"], made["lifetime"]) == ("group31", {"units": "seconds", "value": 7200})

    def test_what_a_change_does_is_said_and_then_done(self):
        """The connections that use it are named, and only what differs is sent."""
        address = url("edit", "ike", self.ike["id"])
        answer = self.client.post(address, self.values(pfs="group20"))
        self.assertContains(answer, "is replaced")
        self.assertContains(answer, "to-office")
        assert self.written() == []
        confirmed = answer.context["digest"]
        posted = self.values(pfs="group20", confirmed=confirmed)
        self.assertRedirectsNoFollow(self.client.post(address, posted), POLICIES)
        puts = [a["json"] for method, _, a in self.cloud.asked if method == "PUT"]
        assert puts == [{"ikepolicy": {"pfs": "group20"}}]

    def test_only_what_was_foreseen_is_confirmed(self):
        """Another change than the one whose effect was said is asked about anew."""
        address = url("edit", "ike", self.ike["id"])
        confirmed = self.client.post(address, self.values(name="x")).context["digest"]
        answer = self.client.post(address, self.values(pfs="group2", confirmed=confirmed))
        self.assertContains(answer, "is replaced")
        assert self.written() == []

    def test_errors_and_refusals_are_said(self):
        """The lifetime's rule beside the field, Neutron's own above them all."""
        address = url("edit", "ike", self.ike["id"])
        self.assertContains(self.client.post(address, self.values(lifetime="5")), "Between 60")
        self.cloud.refusals["PUT", f"{IKE}/{self.ike['id']}"] = refusal(400, "Not so.")
        digest = self.client.post(address, self.values(name="x")).context["digest"]
        answer = self.client.post(address, self.values(name="x", confirmed=digest))
        self.assertContains(answer, "Not so.")

    def test_delete(self):
        """Neutron keeps one that is in use, and says so."""
        address = url("delete", "ipsec", self.ipsec["id"])
        assert self.client.get(address).status_code == 405
        said = refusal(409, "It is in use.")
        self.cloud.refusals["DELETE", f"{IPSEC}/{self.ipsec['id']}"] = said
        self.assertContains(self.client.post(address, follow=True), "It is in use.")
        self.cloud.refusals.clear()
        self.client.post(address)
        assert self.cloud.rows[IPSEC] == {}

    def test_another_projects_and_unknown_kinds_are_not_there(self):
        """Neither their form nor their change nor their end."""
        self.ike["project_id"] = "another"
        assert self.client.get(url("edit", "ike", self.ike["id"])).status_code == 302
        self.client.post(url("delete", "ike", self.ike["id"]))
        assert self.written() == []
        assert self.client.get(url("new", "quantum")).status_code == 404
