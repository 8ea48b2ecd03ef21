"""Two real clouds with Horizon in the user's box, and Debian's Chromium beside it.

SWANHERD_LAB=name REUSE=1 uses clouds that are up; KEEP=1 leaves them up. SCREENSHOTS=1 writes the
pictures of docs/images anew.
"""

import dataclasses
import json
import os
import pathlib
import random
import shutil

import pytest
from playwright.sync_api import sync_playwright

from lab import horizon
from lab import up as lifecycle
from lab.cloud import Cloud
from lab.layout import ROOT, USER_PASSWORD, Lab
from lab.sites import boot, make_public, make_site
from lab.user import enter

FIGURES = ROOT / "build" / "dashboard.json"
IMAGES = ROOT / "docs" / "images"
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="session")
def lab():
    if CHROMIUM is None:
        pytest.fail("no chromium: lab/install.py --browser")
    lab = Lab.named({"SWANHERD_LAB": os.environ.get("SWANHERD_LAB", "dashboard")})
    if not os.environ.get("REUSE"):
        lifecycle.up(lab)
    yield lab
    if not os.environ.get("KEEP"):
        lifecycle.down(lab)


@pytest.fixture(scope="session")
def address(lab):
    """Horizon's address in the user's box."""
    return horizon.start(lab, stock=True, level="DEBUG")


@pytest.fixture(scope="session")
def browser(lab, address):
    enter(lab)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def wanted():
    """Whether pictures are wanted anew."""
    return bool(os.environ.get("SCREENSHOTS"))


@dataclasses.dataclass
class Visitor:
    """A logged-in user of a cloud and the page in front of him."""

    address: str
    page: object

    def open(self, path):
        self.page.goto(self.address + path)
        return self.page

    def picture(self, name):
        """Take a picture for the documents, if they are wanted anew.

        As where the stock panel's menu entry has given way to ours.
        """
        if wanted():
            self.page.evaluate(
                'document.querySelectorAll(\'nav a[href="/project/vpn/"],'
                ' #sidebar a[href="/project/vpn/"]\').forEach(each => each.remove())'
            )
            self.page.evaluate("window.scrollTo(0, 0)")
            self.page.screenshot(path=IMAGES / f"dashboard-{name}.png", full_page=True)


@pytest.fixture(scope="session")
def log_in(browser, address):
    """Log a user in to a cloud; `errors` gathers what the pages' scripts complain about."""
    errors = []

    def visit(region, user="demo", password=USER_PASSWORD):
        context = browser.new_context(
            accept_downloads=True, viewport={"width": 1280, "height": 900}
        )
        page = context.new_page()
        page.set_default_timeout(30000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/auth/login/?next=/project/swanherd/")
        page.select_option("#id_region", label=f"cloud {region}", force=True)
        page.fill("#id_username", user)
        page.fill("#id_password", password)
        page.click("#loginBtn")
        page.wait_for_selector(".sh-panel")
        return Visitor(address, page)

    yield visit
    assert errors == []


@dataclasses.dataclass
class Place:
    """A user's site in a cloud before the VPN."""

    cloud: object
    client: object
    site: object
    workload: object
    cidr: str


@pytest.fixture(scope="session")
def places(lab, browser):
    """A site with a workload in each cloud."""
    number = random.randrange(40, 200)
    made = []
    for index, name in enumerate("ab", 1):
        cloud = Cloud(lab, name)
        make_public(cloud)
        client = cloud.connect()
        cidr = f"10.{number}.{index}.0/24"
        site = make_site(cloud, client, f"office-{number}-{name}", [cidr])
        made.append(Place(cloud, client, site, boot(cloud, client, site, f"w{number}"), cidr))
    return made


@pytest.fixture(scope="session")
def horizons_log(lab):
    return pathlib.Path(lab.log("user", "horizon"))


@pytest.fixture(scope="session")
def record():
    """Keep figures in build/dashboard.json, which the run prints at its end."""
    figures = {}
    yield figures.__setitem__
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
