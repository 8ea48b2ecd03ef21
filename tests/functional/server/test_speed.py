"""What lists and requests cost with 1,000 connections, beside neutron-vpnaas 29 in the same run.

Figures go to build/api.json, which `make bench` takes over.
"""

import json
import math
import time

import pytest

from lab.layout import ROOT
from tests.functional.server import stage
from tests.functional.server.stage import connection, manage, served
from tests.oracles.environments import environment

# `make bench` runs it, and `make test-long`.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

COUNT, ROUNDS, POSTS = 1000, 9, 40
COLLECTION, RESOURCE = "vpn/ipsec-site-connections", "ipsec_site_connection"
THEIRS = "neutron_vpnaas.services.vpn.plugin.VPNDriverPlugin"
# Rows of a connection by table: the column that has its id.
OURS_ALONE = {"swanherd_statuses": "id", "swanherd_secrets": "id"}
SHARED = {"ipsec_site_connections": "id", "ipsecpeercidrs": "ipsec_site_connection_id"}
COPY_ID = "CONCAT('00000000-0000-4000-8000-', LPAD(seq, 12, '0'))"
COPY_CIDR = "CONCAT('10.', 100 + seq DIV 250, '.', seq MOD 250, '.0/24')"


def multiply(database, name, tables, made):
    """Make `COUNT` connections out of one, each with a peer CIDR of its own."""
    for table, key in tables.items():
        where = f"table_schema = '{name}' AND table_name = '{table}'"
        query = f"SELECT column_name FROM information_schema.columns WHERE {where}"
        columns = database.sql(query).split()
        copies = [{key: COPY_ID, "cidr": COPY_CIDR}.get(c, f"`{c}`") for c in columns]
        named = ", ".join(f"`{c}`" for c in columns)
        database.sql(
            f"INSERT INTO {name}.{table} ({named}) SELECT {', '.join(copies)} "
            f"FROM {name}.{table}, {name}.seq_2_to_{COUNT} WHERE `{key}` = '{made['id']}'"
        )


def first(api):
    """Make a router with a service, and one connection; return it and what others need."""
    cloud = stage.cloud(api)
    good = {"auth_algorithm": "sha256"}
    parents = {
        "vpnservice_id": api.create("vpn/vpnservices", "vpnservice", router_id=cloud["router"],
                                    subnet_id=cloud["subnet"])["id"],
        "ikepolicy_id": api.create("vpn/ikepolicies", "ikepolicy", **good)["id"],
        "ipsecpolicy_id": api.create("vpn/ipsecpolicies", "ipsecpolicy", **good)["id"],
    }  # fmt: skip
    return api.create(COLLECTION, RESOURCE, **connection(parents)), parents


def selects(database):
    """Return how many SELECT statements MariaDB has had."""
    return int(database.sql("SHOW GLOBAL STATUS LIKE 'Com_select'").split()[1])


def seconds(api, count):
    """Return how long a list of all connections took."""
    began = time.perf_counter()
    code, answer = api.request("GET", COLLECTION)
    taken = time.perf_counter() - began
    assert (code, len(answer["ipsec_site_connections"])) == (200, count)
    return taken


def queries(database, api, count):
    """Return the number of SELECTs of one list; the least of some, since others may ask too."""
    found = []
    for _ in range(3):
        before = selects(database)
        seconds(api, count)
        found.append(selects(database) - before)
    return min(found)


@pytest.fixture(scope="module")
def pair(database, tmp_path_factory):
    """Two APIs beside each other, ours and neutron-vpnaas', each with its own database."""
    python = environment("vpnaas-29") / "bin" / "python"
    ours = database.migrated("speed", tmp_path_factory.mktemp("speed"))
    folder = tmp_path_factory.mktemp("speed29")
    theirs = database.migrated("speed29", folder, "--subproject", "neutron")
    manage(theirs, "--subproject", "neutron-vpnaas", "upgrade", "heads", python=python)
    theirs.write_text(theirs.read_text().replace("router,swanherd", f"router,{THEIRS}"))
    with served(ours) as one, served(theirs, python) as other:
        yield one, other


@pytest.fixture(scope="module")
def figures(database, pair):
    """Measure both in turn, then what a POST costs on the router that has them all."""
    one, other = pair
    made, parents = first(one)
    few = queries(database, one, 1)
    multiply(database, "speed", {**SHARED, **OURS_ALONE}, made)
    multiply(database, "speed29", SHARED, first(other)[0])
    many = queries(database, one, COUNT)
    found = {api: [] for api in pair}
    for _ in range(ROUNDS):
        for api in pair:
            found[api].append(seconds(api, COUNT))
    posts = []
    for number in range(POSTS):
        body = connection(parents, peer_cidrs=f"10.200.{number}.0/24")
        began = time.perf_counter()
        one.create(COLLECTION, RESOURCE, **body)
        posts.append(time.perf_counter() - began)
    result = {
        "list_1_queries": few,
        f"list_{COUNT}_queries": many,
        f"list_{COUNT}_neutron_vpnaas_queries": queries(database, other, COUNT),
        f"list_{COUNT}_s": min(found[one]),
        f"list_{COUNT}_neutron_vpnaas_s": min(found[other]),
        "post_p95_s": sorted(posts)[math.ceil(0.95 * POSTS) - 1],
    }
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "api.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def test_a_list_asks_the_database_as_often_for_many_rows_as_for_one(figures):
    """Six times at most."""
    assert figures[f"list_{COUNT}_queries"] <= 6
    assert figures[f"list_{COUNT}_queries"] == figures["list_1_queries"]


def test_a_list_is_no_slower_than_that_of_neutron_vpnaas(figures):
    """The quickest of lists that were made in turn."""
    assert figures[f"list_{COUNT}_s"] <= figures[f"list_{COUNT}_neutron_vpnaas_s"]


def test_a_connection_is_made_quickly_where_there_are_many(figures):
    """95 of 100 POSTs on a router with a thousand; `make bench` holds the promise of 0.15 s."""
    assert figures["post_p95_s"] < 0.6
