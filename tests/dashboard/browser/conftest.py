"""Debian's Chromium before Horizon's pages in a theme's own style, on a Neutron in memory."""

import shutil

import pytest
from openstack_dashboard import api
from openstack_dashboard.test.selenium.ui.conftest import (  # noqa: F401 - fixtures
    _django_db_helper,
    dashboard_data,
    mock_keystoneclient,
    user,
)
from playwright.sync_api import expect, sync_playwright

from tests.dashboard import themes
from tests.dashboard.cloud import FakeNeutron

CHROMIUM = shutil.which("chromium")
PANEL = "/project/swanherd/"
expect.set_options(timeout=15000)  # a page asks every 2.5 s, and other tests run beside


@pytest.fixture(scope="session")
def chromium():
    assert CHROMIUM, "no chromium: lab/install.py --browser"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def cloud(user, monkeypatch):  # noqa: F811 - a fixture
    """The Neutron that the server's threads talk to."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright has a loop in this thread
    made = FakeNeutron(user.tenant_id)
    monkeypatch.setattr(api.neutron, "networkclient", lambda _request: made)
    monkeypatch.setattr(
        api.neutron, "is_extension_supported", lambda _request, alias: alias == "vpnaas"
    )
    return made


@pytest.fixture
def visit(chromium, cloud, live_server):
    """Open a page of the panel; no script may fail, and none may come from a name."""
    complaints, contexts = [], []

    def open_page(path="", theme="default", **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.add_cookies([{"name": "theme", "value": theme, "url": live_server.url}])
        context.route("**/theme/*.css", style)
        page = context.new_page()
        page.set_default_timeout(20000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        address = path if path.startswith("/") else PANEL + path
        page.goto(live_server.url + address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def style(route):
    name = route.request.url.rpartition("/")[2].removesuffix(".css")
    route.fulfill(body=themes.css(name), content_type="text/css")
