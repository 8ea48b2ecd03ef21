"""What follows a change: it spoils no answer, and tells users nothing of the inside."""

import pymysql
import pytest
import sqlalchemy as sa
from neutron_lib.exceptions import l3 as l3_exc
from oslo_db import exception as db_exc

from tests.unit.server.cloud import uuid

SQL = "SELECT ports.project_id FROM ports WHERE id = %s"


def broken():
    """Return an error as oslo.db raises it."""
    away = pymysql.err.OperationalError(2013, "Lost connection to db.internal")
    return db_exc.DBError(sa.exc.OperationalError(SQL, ("of-another",), away))


def test_an_error_of_the_database_is_no_reason_for_users(cloud, monkeypatch):
    """It has statements, hosts and other projects' ids; the log has them."""

    def ensure(context, router_id):
        raise broken()

    monkeypatch.setattr(cloud.backend, "ensure", ensure)
    shown = cloud.create("vpnservice")
    assert (shown["status"], shown["status_code"]) == ("ERROR", "server_failure")
    assert "DBError" in shown["status_reason"]
    for word in ("SELECT", "of-another", "db.internal"):
        assert word not in str(shown)


@pytest.mark.parametrize("error", [sa.exc.TimeoutError("QueuePool limit of db"), KeyError("of")])
def test_what_nobody_expected_spoils_no_answer_either(cloud, monkeypatch, error):
    """It is told by its kind alone, until a look succeeds; what is in effect stays as it was."""
    monkeypatch.setattr(cloud.backend, "hosts", failing(error))
    made, ensure = cloud.connection(), cloud.backend.ensure
    before = cloud.show("ipsec_site_connection", made["id"])["status_code"]
    monkeypatch.setattr(cloud.backend, "ensure", failing(error))
    cloud.looker.sweep(uuid("r1"))
    assert cloud.show("ipsec_site_connection", made["id"])["status_code"] == before
    changed = cloud.update("ipsec_site_connection", made["id"], psk="another")
    assert (changed["status"], changed["status_code"]) == ("ERROR", "server_failure")
    assert changed["status_reason"].startswith(
        f"The Neutron server failed: {type(error).__name__}"
    )
    monkeypatch.setattr(cloud.backend, "ensure", ensure)
    cloud.looker.sweep(uuid("r1"))
    assert cloud.show("ipsec_site_connection", made["id"])["status_code"] == before


def failing(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize("error", [broken(), l3_exc.RouterNotFound(router_id=uuid("r1"))])
def test_an_answer_stands_though_nobody_can_be_told(cloud, monkeypatch, error):
    """What is done is done: a 404 or a repeated POST would make it look otherwise."""

    def hosts(context, row):
        raise error

    monkeypatch.setattr(cloud.backend, "hosts", hosts)
    made = cloud.connection()
    cloud.update("ipsec_site_connection", made["id"], psk="another")
    cloud.delete("ipsec_site_connection", made["id"])
    assert cloud.api.get_ipsec_site_connections(cloud.fresh()) == []
