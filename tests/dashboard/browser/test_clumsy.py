"""What clumsy and hostile people do with the forms, and what happens meanwhile, in Chromium.

Nothing is done twice, nothing that was typed is lost, and no answer is a server's failure.
"""

import re

import pytest
from django.contrib.auth.models import AnonymousUser
from openstack_auth import utils
from playwright.sync_api import expect

from tests.dashboard.cloud import refusal, with_a_tunnel

CONNECTIONS = "vpn/ipsec-site-connections"
TYPED = {
    "#id_name": "to-b",
    "#id_description": "שלום, مرحبا \u202eabc",
    "#id_peer_address": "198.51.100.9",
    "#id_peer_cidrs": "10.8.0.0/24",
    "#id_psk": "a-long-and-random-key-9W",
}


@pytest.fixture
def typed(visit, cloud):
    """The guided form, filled in; the page and how often it was sent."""
    with_a_tunnel(cloud)
    page = visit("connect")
    page.locator('input[name="subnets"]').first.check()
    for field, text in TYPED.items():
        page.fill(field, text)
    return page


def sent(page):
    """Gather the POSTs of a page."""
    found = []
    page.on("request", lambda each: found.append(each.url) if each.method == "POST" else None)
    return found


def nothing_is_lost(page):
    for field, text in TYPED.items():
        assert page.input_value(field) == text, field
    assert page.locator('input[name="subnets"]').first.is_checked()


def is_made(page):
    page.wait_for_url(re.compile(r"/swanherd/[0-9a-f-]{36}/$"))


def made(cloud):
    return [row for row in cloud.rows[CONNECTIONS].values() if row["name"] == "to-b"]


def test_a_form_that_is_sent_twice_is_done_once(typed, cloud):
    """By two clicks and two Enters while the first is under way."""
    posts = sent(typed)
    typed.evaluate("""() => { const sure = document.querySelector('[data-sh=submit]');
      sure.click(); sure.click(); document.querySelector('.sh-form').requestSubmit(); }""")
    is_made(typed)
    assert len(posts) == 1
    assert len(made(cloud)) == 1


def test_a_session_that_ends_loses_nothing(typed, cloud, user, monkeypatch):
    """The form says so; once the user is in again, in another tab, it is sent from here.

    A login makes a new token against forgery, so the one that the page has is of no use then.
    """
    monkeypatch.setattr(utils, "get_user", lambda request: AnonymousUser())
    typed.click('[data-sh="submit"]')
    told = typed.locator('[data-sh="ended"]')
    expect(told).to_contain_text("Log in again in another tab")
    assert told.locator("a").get_attribute("target") == "_blank"
    nothing_is_lost(typed)
    assert made(cloud) == []

    monkeypatch.setattr(utils, "get_user", lambda request: user)
    typed.context.clear_cookies(name="csrftoken")
    typed.click('[data-sh="submit"]')
    is_made(typed)
    assert len(made(cloud)) == 1


def test_a_login_in_another_tab_is_not_noticed(typed, cloud):
    """It makes a new token against forgery; the form takes that and is sent."""
    typed.context.clear_cookies(name="csrftoken")
    other = typed.context.new_page()
    other.goto(typed.url)
    typed.click('[data-sh="submit"]')
    is_made(typed)
    assert len(made(cloud)) == 1


@pytest.mark.parametrize("how", ["a failure of the server", "no answer"])
def test_an_answer_that_does_not_come_is_not_asked_for_again(typed, cloud, how):
    """Nobody knows whether it was done, so it isn't sent again by itself."""
    fates = {
        "a failure of the server": lambda route: route.fulfill(status=500, body="<h1>It burns"),
        "no answer": lambda route: route.abort(),
    }
    posts = sent(typed)
    typed.route(
        "**/connect",
        lambda route: fates[how](route) if route.request.method == "POST" else route.continue_(),
    )
    typed.click('[data-sh="submit"]')
    expect(typed.locator('[data-sh="unanswered"]')).to_contain_text("Look at the list")
    nothing_is_lost(typed)
    assert len(posts) == 1
    typed.unroute("**/connect")
    typed.click('[data-sh="submit"]')
    is_made(typed)


@pytest.mark.parametrize("path", ["routers", CONNECTIONS, "vpn/endpoint-groups"])
def test_neutron_that_refuses_loses_nothing(typed, cloud, path):
    """Away for a moment, or a quota that is exceeded: its sentence stands above the form."""
    method = "GET" if path == "routers" else "POST"
    cloud.refusals[method, path] = refusal(409, "Quota exceeded for resources: ['x'].")
    typed.click('[data-sh="submit"]')
    expect(typed.locator('[data-sh-field="__all__"]')).to_contain_text("Quota exceeded")
    nothing_is_lost(typed)
    assert made(cloud) == []
    cloud.refusals.clear()
    typed.click('[data-sh="submit"]')
    is_made(typed)


def test_a_router_that_is_gone_meanwhile_is_said(typed, cloud):
    """Beside its field; the rest of what was typed stays."""
    cloud.rows["routers"].clear()
    typed.click('[data-sh="submit"]')
    expect(typed.locator("#error_router")).not_to_be_empty()
    nothing_is_lost(typed)


def test_back_has_what_was_typed(typed, cloud):
    """From another page, and after it was sent; the key alone isn't kept by the browser."""
    typed.click("[data-sh-generate]")  # which uncovers it
    typed.get_by_role("link", name="Cancel").click()
    typed.wait_for_url(re.compile(r"/swanherd/$"))
    typed.go_back()
    assert typed.input_value("#id_psk") == ""
    key = TYPED.pop("#id_psk")
    try:
        nothing_is_lost(typed)
        typed.fill("#id_psk", key)
        typed.click('[data-sh="submit"]')
        is_made(typed)
        typed.go_back()
        nothing_is_lost(typed)
        typed.fill("#id_psk", key)
        typed.fill("#id_name", "again")
        typed.click('[data-sh="submit"]')
        is_made(typed)
    finally:
        TYPED["#id_psk"] = key


def test_the_key_has_one_button_to_be_seen(typed):
    """Horizon draws an eye, which puts another field in the field's place."""
    expect(typed.locator(".sh-form .password-icon")).to_be_hidden()
    expect(typed.get_by_role("button", name="Show the key")).to_be_visible()


def test_two_tabs_change_one_connection(visit, cloud):
    """The second sees what the first has done, or does what it says itself."""
    row = with_a_tunnel(cloud)
    one, other = visit(f"{row['id']}/edit"), visit(f"{row['id']}/edit")
    for page, name in ((one, "first"), (other, "second")):
        page.fill("#id_name", name)
        page.click('[data-sh="submit"]')
        page.get_by_role("button", name="Do it").click()
        is_made(page)
        assert row["name"] == name
    page = visit(f"{row['id']}/edit")
    cloud.rows[CONNECTIONS].clear()
    page.fill("#id_name", "third")
    page.click('[data-sh="submit"]')
    expect(page.locator('[data-sh-field="__all__"]')).to_contain_text("could not be found")
    assert page.input_value("#id_name") == "third"


def test_a_policys_form_is_as_patient(visit, cloud, user, monkeypatch):
    """Sent twice it is done once, and a session that ends loses nothing."""
    page = visit("policies/ike/new")
    page.fill("#id_name", "strong")
    monkeypatch.setattr(utils, "get_user", lambda request: AnonymousUser())
    page.get_by_role("button", name="Save").click()
    expect(page.locator('[data-sh="ended"]')).to_contain_text("Log in again")
    assert page.input_value("#id_name") == "strong"
    monkeypatch.setattr(utils, "get_user", lambda request: user)
    page.context.clear_cookies(name="csrftoken")
    posts = sent(page)
    page.evaluate("""() => { const sure = document.querySelector('form.sh-form [type=submit]');
      sure.click(); sure.click(); }""")
    page.wait_for_url(re.compile("/policies$"))
    assert len(posts) == 1
    assert len(cloud.rows["vpn/ikepolicies"]) == 1
