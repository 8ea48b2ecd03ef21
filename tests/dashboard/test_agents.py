from django.urls import reverse
from openstack_dashboard.test import helpers

from tests.dashboard.cloud import OnFakeNeutron, Reply, refusal

INDEX = reverse("horizon:admin:swanherd_agents:index")
KIND = "Swanherd VPN agent"


class Agents(OnFakeNeutron, helpers.BaseAdminViewTests):
    """The operators' pages on a Neutron in memory."""

    def setUp(self):
        super().setUp()
        agent = {"agent_type": KIND, "alive": True, "admin_state_up": True}
        self.here = self.cloud.add("agents", host="gw1", **agent)
        self.router = self.cloud.add("routers", name="site")
        self.canned(f"agents/{self.here['id']}/vpn-routers", routers=[self.router])
        standby = {"host": "gw2", "ha_state": "standby", "vpn_ready": True}
        agents = [{"host": "gw1", "ha_state": "active"}, standby]
        self.canned(f"routers/{self.router['id']}/vpn-agents", agents=agents)

    def canned(self, path, **body):
        self.cloud.refusals["GET", path] = Reply(200, body)

    def url(self, name, *more):
        return reverse(f"horizon:admin:swanherd_agents:{name}", args=(self.here["id"], *more))

    def test_agents_and_how_many_routers_each_serves(self):
        """Agents of another kind aren't listed."""
        self.cloud.add("agents", host="cmp1", agent_type="OVN Controller agent")
        page = self.client.get(INDEX)
        self.assertContains(page, "gw1")
        self.assertContains(page, "1 router")
        self.assertNotContains(page, "cmp1")

    def test_an_agents_routers_and_who_stands_by(self):
        """With what is ready."""
        page = self.client.get(self.url("agent"))
        self.assertContains(page, "site")
        self.assertContains(page, "gw2 (ready)")

    def test_draining_disables_the_agent(self):
        """By POST alone; enabling is the same form."""
        assert self.client.get(self.url("drain")).status_code == 405
        self.client.post(self.url("drain"))
        assert self.here["admin_state_up"] is False
        self.client.post(self.url("drain"), {"enable": "yes"})
        assert self.here["admin_state_up"] is True

    def test_a_router_that_can_not_move_says_why(self):
        """Neutron's sentence is on the page."""
        path = f"agents/{self.here['id']}/vpn-routers/{self.router['id']}"
        said = "no other candidate has an agent that answers"
        self.cloud.refusals["DELETE", path] = refusal(409, said)
        answer = self.client.post(self.url("move", self.router["id"]), follow=True)
        self.assertContains(answer, said)


class NobodyElse(helpers.TestCase):
    def test_an_ordinary_user_is_refused(self):
        """The operators' pages need the admin role."""
        assert self.client.get(INDEX).status_code in (302, 403)
