"""The tables that migrations make are the tables that the models say."""

import subprocess
import sys

import pytest

from tests.functional.server.stage import LIMIT, manage

COMPARE = """
import sys, sqlalchemy as sa
from alembic import autogenerate, migration
from swanherd.server.db import head
metadata, ours = head.get_metadata(), head.OUR_TABLES

def mine(found, name, kind, reflected, other):
    table = name if kind == "table" else found.table.name
    return table in ours

engine = sa.create_engine(sys.argv[1])
with engine.connect() as connection:
    context = migration.MigrationContext.configure(
        connection, opts={"compare_type": True, "include_object": mine}
    )
    for difference in autogenerate.compare_metadata(context, metadata):
        print(difference)
"""


@pytest.fixture(scope="module")
def settings(database, tmp_path_factory):
    return database.migrated("migrated", tmp_path_factory.mktemp("migrated"))


def test_models_and_migrations_are_the_same(database, settings):
    """Nothing is left for alembic to generate."""
    assert differences(database) == ""


def differences(database):
    """Return what alembic would change to make the tables what the models say."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPARE, database.url("migrated")],
        check=True,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    return done.stdout


def test_the_chain_is_complete_and_runs_twice(settings):
    """neutron-db-manage knows both heads, has nothing offline to do, and may run again."""
    subproject = ("--subproject", "swanherd")
    assert manage(settings, *subproject, "current").count("(head)") == 2
    manage(settings, *subproject, "check_migration")
    assert "No offline migrations" in manage(settings, *subproject, "has_offline_migrations")
    manage(settings, "upgrade", "heads")


def test_tables_that_are_there_are_taken_over_with_their_rows(database, settings):
    """A cloud that had neutron-vpnaas keeps what it has."""
    row = "'id','p','n','d','sha1','aes-128','seconds',3600,'group5','main','v1'"
    columns = (
        "id,project_id,name,description,auth_algorithm,encryption_algorithm,lifetime_units,"
        "lifetime_value,pfs,phase1_negotiation_mode,ike_version"
    )
    database.sql(f"INSERT INTO migrated.ikepolicies ({columns}) VALUES ({row})")
    for column in ("ikepolicies MODIFY auth_algorithm ENUM('sha256', 'sha1')",
                   "ipsecpeercidrs MODIFY cidr VARCHAR(32)"):  # fmt: skip
        database.sql(f"ALTER TABLE migrated.{column} NOT NULL")
    ours = database.sql("SHOW TABLES IN migrated LIKE '%swanherd%'").split()
    database.sql(f"DROP TABLE {', '.join(f'migrated.{name}' for name in ours)}")
    manage(settings, "--subproject", "swanherd", "upgrade", "heads")
    assert database.sql("SELECT auth_algorithm FROM migrated.ikepolicies") == "sha1"
    assert database.sql("SELECT COUNT(*) FROM migrated.swanherd_statuses") == "0"
    assert differences(database) == ""


def test_ids_in_capitals_become_those_of_what_they_refer_to(database, settings):
    """neutron-vpnaas and Swanherd took them so on MariaDB; compared elsewhere they are others."""
    router = "abcdef00-0000-4000-8000-00000000000a"
    table = "migrated.alembic_version_swanherd"
    database.sql(
        "SET FOREIGN_KEY_CHECKS = 0;"
        f"INSERT INTO migrated.routers (id, standard_attr_id) VALUES ('{router}', 1);"
        "INSERT INTO migrated.vpnservices (id, status, admin_state_up, router_id) "
        f"VALUES ('s', 'ACTIVE', 1, '{router.upper()}');"
        "INSERT INTO migrated.swanherd_candidates (router_id, host, `rank`, pinned) "
        f"VALUES ('{router.upper()}', 'h', 0, 0);"
        f"UPDATE {table} SET version_num = '5a7e0de00105' WHERE version_num = '5a7e0de00106'"
    )
    manage(settings, "--subproject", "swanherd", "upgrade", "heads")
    for name in ("vpnservices", "swanherd_candidates"):
        assert database.sql(f"SELECT router_id FROM migrated.{name}") == router
    assert differences(database) == ""
