"""The pages of policies, in a whole Horizon."""

import re


def named(network, name):
    return [each for each in network.vpn_ike_policies() if each.name == name]


def test_a_policy_is_made_changed_and_deleted(log_in, places):
    """By its form, its form again, and its button; what a change does is said first."""
    here, _ = places
    network, visitor = here.client.network, log_in("a")
    page = visitor.open("/project/swanherd/policies/ike/new")
    page.fill("#id_name", "by-page")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(re.compile("/policies$"))
    (made,) = named(network, "by-page")
    page = visitor.open(f"/project/swanherd/policies/ike/{made.id}/edit")
    page.fill("#id_lifetime", "7200")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Do it").click()
    page.wait_for_url(re.compile("/policies$"))
    assert network.get_vpn_ike_policy(made.id).lifetime["value"] == 7200
    row = page.locator("#sh-ike tr", has_text="by-page")
    row.locator("summary").click()
    row.get_by_role("button", name="Delete the policy").click()
    page.wait_for_url(re.compile("/policies$"))
    assert named(network, "by-page") == []
