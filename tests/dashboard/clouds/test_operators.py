"""The operators' pages, on a whole Neutron with an agent that serves a router."""

import pytest
from playwright.sync_api import expect

from lab.layout import ADMIN_PASSWORD
from lab.processes import wait_for
from lab.vpn import make_end, remove_end

AGENTS = "/admin/swanherd_agents/"


@pytest.fixture
def end(places):
    """A vpnservice without a connection: its router has an agent."""
    here, _ = places
    made = make_end(here.cloud, here.client, here.site)
    yield made
    remove_end(made)


@pytest.mark.usefixtures("end")
def test_where_a_routers_vpn_runs_and_draining(log_in, places):
    """The agent's page has the router and says why it can't move; draining is Neutron's own."""
    here, _ = places
    network = here.cloud.connect("admin").network
    (agent,) = network.agents(agent_type="Swanherd VPN agent")
    page = log_in("a", "admin", ADMIN_PASSWORD).page

    def open_agents():
        page.goto(page.url.partition("/project/")[0].partition("/admin/")[0] + AGENTS)
        return page.locator("tbody tr", has_text=agent.host)

    row = open_agents()
    expect(row.locator(".sh-badge.sh-up")).to_have_count(1)
    wait_for(lambda: "0 routers" not in open_agents().inner_text(), 30, "an agent for the router")
    row.get_by_role("link", name=agent.host).click()
    expect(page.locator("tbody")).to_contain_text(here.site.name)
    page.get_by_role("button", name="Move away").click()
    refused = page.locator(".alert", has_text="no other candidate has an agent that answers")
    expect(refused.first).to_be_visible()

    for button, takes in (("Drain", False), ("Enable", True)):
        open_agents().get_by_role("button", name=button).click()
        other = "Enable" if button == "Drain" else "Drain"
        expect(row.get_by_role("button", name=other)).to_be_visible()
        assert network.get_agent(agent.id).is_admin_state_up is takes
