"""A database that neutron-vpnaas made and filled is taken over whole, and given back whole."""

import subprocess

import pytest

from swanherd.server.db.inherited import CONTRACT_HEAD
from swanherd.server.db.inherited import RELEASES as RELEASES_OF
from tests.functional.server import stage
from tests.functional.server.stage import BIN, LIMIT, manage, served
from tests.oracles.environments import environment

RELEASES = [pytest.param(n, marks=pytest.mark.long if n < 29 else ()) for n in (26, 27, 28, 29)]
PLUGIN = "neutron_vpnaas.services.vpn.plugin.VPNDriverPlugin"
TABLES = (
    *("ikepolicies", "ipsecpolicies", "vpnservices", "ipsec_site_connections", "ipsecpeercidrs"),
    *("vpn_endpoint_groups", "vpn_endpoints", "vpn_ext_gws", "routervpnagentbindings"),
    *("providerresourceassociations", "alembic_version_vpnaas"),
)
COLLECTIONS = (
    "ikepolicies", "ipsecpolicies", "vpnservices", "endpoint-groups", "ipsec-site-connections",
)  # fmt: skip
KEY = "k\\e'y \"{} ünïcode"
# How Swanherd's own look changes a status that nobody reports.
STATUS = ("vpnservices", "ipsec_site_connections")


def fill(api, release):
    """Make resources of each kind, with each value that an enumeration of this release has."""
    cloud = stage.cloud(api)
    old = {"auth_algorithm": "sha1", "encryption_algorithm": "3des"} if release < 29 else {}
    good = {"auth_algorithm": "sha256"}
    modern = {"auth_algorithm": "aes-xcbc", "encryption_algorithm": "aes-256-gcm-16"}
    ike = [
        api.create("vpn/ikepolicies", "ikepolicy", name=f"ike {n} ü", **{**good, **body})["id"]
        for n, body in enumerate((
            old, {"ike_version": "v2", "pfs": "group31", "lifetime": {"value": 7200}},
            {"phase1_negotiation_mode": "aggressive", "encryption_algorithm": "aes-192"},
        ))
    ]  # fmt: skip
    ipsec = [
        api.create("vpn/ipsecpolicies", "ipsecpolicy", name="", **{**good, **body})["id"]
        for body in (
            old,
            modern,
            {"transform_protocol": "ah"},
            {"encapsulation_mode": "transport"},
        )
    ]
    service = api.create("vpn/vpnservices", "vpnservice", router_id=cloud["router"], name="with",
                         subnet_id=cloud["subnet"])["id"]  # fmt: skip
    bare = api.create("vpn/vpnservices", "vpnservice", router_id=cloud["router"], name="without",
                      admin_state_up=False)["id"]  # fmt: skip
    groups = [
        api.create("vpn/endpoint-groups", "endpoint_group", type=kind, endpoints=endpoints)["id"]
        for kind, endpoints in (
            ("subnet", [cloud["subnet6"]]),
            ("cidr", ["fd99:1:2:3::/64", "fd99:8::/32"]),
        )
    ]
    for number, action in enumerate(("hold", "clear", "restart", "disabled", "restart-by-peer")):
        connect(api, service, ike[number % 3], ipsec[number % 4], psk=KEY, dpd={"action": action},
                peer_cidrs=[f"10.9.{number}.0/24", f"10.8.{number}.0/24"], mtu=1300 + number,
                initiator=("bi-directional", "response-only")[number % 2])  # fmt: skip
    connect(api, bare, ike[1], ipsec[1], psk="p", admin_state_up=False, local_id="me@example.org",
            local_ep_group_id=groups[0], peer_ep_group_id=groups[1])  # fmt: skip


def connect(api, service, ike, ipsec, **body):
    """Make a connection."""
    api.create(
        "vpn/ipsec-site-connections", "ipsec_site_connection", vpnservice_id=service,
        ikepolicy_id=ike, ipsecpolicy_id=ipsec, peer_address="198.51.100.9", peer_id="peer",
        **body,
    )  # fmt: skip


def told(api):
    """Return what the API tells of everything, but its status."""
    found = {}
    for collection in COLLECTIONS:
        code, answer = api.request("GET", f"vpn/{collection}")
        assert code == 200, answer
        (rows,) = answer.values()
        found[collection] = {
            row["id"]: {
                name: sorted(value)
                if name in ("peer_cidrs", "endpoints", "connections")
                else value
                for name, value in row.items()
                if name != "status"
            }
            for row in rows
        }
    return found


def rows(database, name):
    """Return every row of the tables that neutron-vpnaas has; of two, without the status."""
    query = "SELECT {} FROM {}.{}"
    return {
        table: sorted(
            database.sql(query.format(columns(database, name, table), name, table)).splitlines()
        )
        for table in TABLES
    }


def columns(database, name, table):
    where = f"table_schema = '{name}' AND table_name = '{table}'"
    if table in STATUS:
        where += " AND column_name != 'status'"
    query = f"SELECT column_name FROM information_schema.columns WHERE {where}"
    return ", ".join(f"`{column}`" for column in sorted(database.sql(query).split()))


def shape(database, name):
    """Return each table of the database with its columns and keys, in MariaDB's own words."""
    names = database.sql(f"SHOW TABLES IN {name}").split()
    return {
        each: sorted(
            line.strip().rstrip(",")
            for line in database.sql(f"SHOW CREATE TABLE {name}.{each}").split("\\n")[1:-1]
        )
        for each in names
    }


def release(settings, number, *options):
    """Run `swanherdctl db release`."""
    return subprocess.run(
        [BIN / "swanherdctl", "db", "release", "--config-file", settings, "--to", f"{number}",
         *options],
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip


@pytest.fixture(params=RELEASES)
def inherited(request, database, tmp_path):
    """A database that one release of neutron-vpnaas made and filled."""
    name = f"vpnaas_{request.param}"
    python = environment(f"vpnaas-{request.param}") / "bin" / "python"
    settings = database.migrated(name, tmp_path, "--subproject", "neutron")
    # The first tables of 26 to 28 came with Neutron's own migrations, which today's no longer
    # have; 29's chain makes them too. So it goes to where each release's chain ends.
    chain = environment("vpnaas-29") / "bin" / "python"
    for head in (CONTRACT_HEAD, RELEASES_OF[str(request.param)].expand_head):
        manage(settings, "--subproject", "neutron-vpnaas", "upgrade", head, python=chain)
    theirs = tmp_path / "theirs.conf"
    theirs.write_text(settings.read_text().replace("router,swanherd", f"router,{PLUGIN}"))
    with served(theirs, python) as api:
        fill(api, request.param)
        before = told(api)
    return request.param, name, settings, theirs, python, before


# Four servers start, one after the other.
@pytest.mark.timeout(900)
def test_every_row_comes_over_and_goes_back(database, inherited):
    """GET says after the change of plugin what it said before, there and back again."""
    number, name, settings, theirs, python, before = inherited
    kept, made = rows(database, name), shape(database, name)
    manage(settings, "--subproject", "swanherd", "upgrade", "heads")
    assert rows(database, name) == kept
    assert "enum(" not in str({t: c for t, c in shape(database, name).items() if t in TABLES})
    with served(settings) as api:
        now = told(api)
        assert before == {
            collection: {
                row_id: {attribute: now[collection][row_id][attribute] for attribute in row}
                for row_id, row in found.items()
            }
            for collection, found in before.items()
        }
        sealed(api, settings)
    done = release(settings, number)
    assert done.returncode == 0, done.stderr
    assert rows(database, name) == kept
    assert shape(database, name) == made
    with served(theirs, python) as api:
        assert told(api) == before


def sealed(api, settings):
    """Encrypt what came in clear."""
    done = subprocess.run(
        [BIN / "swanherdctl", "secrets", "rotate", "--config-file", settings],
        capture_output=True, text=True, timeout=LIMIT, check=True,
    )  # fmt: skip
    assert "6 keys are encrypted" in done.stdout


@pytest.fixture
def ours(database, tmp_path):
    """A database that Swanherd made; its settings and its name."""
    name = "ours"
    yield database.migrated(name, tmp_path), name
    database.sql(f"DROP DATABASE {name}")


def test_what_a_release_cannot_hold_is_told_before_anything_changes(database, ours):
    """Each row by its id and value; of a release that can hold all, the tables are made."""
    settings, name = ours
    columns = (
        "id,project_id,name,description,auth_algorithm,encryption_algorithm,lifetime_units,"
        "lifetime_value,pfs,phase1_negotiation_mode,ike_version"
    )
    for row_id, proposal in (("old", "'sha1','3des'"), ("good", "'sha512','aes-256'")):
        values = f"'{row_id}','p','n','d',{proposal},'seconds',3600,'group5','main','v1'"
        database.sql(f"INSERT INTO {name}.ikepolicies ({columns}) VALUES ({values})")
    made = shape(database, name)
    for options in ((), ("--check",)):
        done = release(settings, 29, *options)
        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            "ikepolicies old: auth_algorithm sha1 doesn't exist there",
            "ikepolicies old: encryption_algorithm 3des doesn't exist there",
        ]
        assert shape(database, name) == made
    assert release(settings, 28, "--check").returncode == 0
    assert shape(database, name) == made
    done = release(settings, 28)
    assert done.returncode == 0, done.stderr
    left = shape(database, name)
    assert not [table for table in left if "swanherd" in table]
    assert "enum('sha1'" in str(left["ikepolicies"])
    assert (
        database.sql(f"SELECT auth_algorithm FROM {name}.ikepolicies WHERE id = 'old'") == "sha1"
    )
    assert release(settings, 28).returncode == 1


def test_tables_that_do_not_fit_are_refused_before_anything_changes(database, ours):
    """A table that lacks what we read, or wants what we don't write, is named."""
    settings, name = ours
    assert release(settings, 28).returncode == 0
    database.sql(f"ALTER TABLE {name}.vpnservices DROP COLUMN external_v6_ip")
    database.sql(f"ALTER TABLE {name}.ikepolicies ADD COLUMN quantum VARCHAR(8) NOT NULL")
    before = shape(database, name)
    done = stage.manage(settings, "--subproject", "swanherd", "upgrade", "heads", check=False)
    assert "vpnservices has no column external_v6_ip" in done
    assert "ikepolicies has a column quantum that must be given" in done
    after = shape(database, name)
    assert {**after, "alembic_version_swanherd": None} == {
        **before, "alembic_version_swanherd": None
    }  # fmt: skip
