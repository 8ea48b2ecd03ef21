"""OVN's central databases, as tests need them."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from ovsdbapp.backend.ovs_idl import connection
from ovsdbapp.schema.ovn_northbound import impl_idl as nb_impl
from ovsdbapp.schema.ovn_southbound import impl_idl as sb_impl

from tests.functional.ovn.daemons import Northd, central


@pytest.fixture(scope="module")
def ovn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Northd]:
    """Both databases and northd, for all tests of a module."""
    directory: pathlib.Path = tmp_path_factory.mktemp("ovn")
    with central(directory) as northd:
        northd.sb.run("ovn-sbctl", "chassis-add", "chassis-1", "geneve", "192.0.2.101")
        northd.sb.run("ovn-sbctl", "set", "Chassis", "chassis-1", "hostname=gateway-1")
        yield northd


def backend(kind: type[Any], remote: str, schema: str) -> Any:
    """Connect as Neutron does; the library keeps one connection a class, so make a class."""
    replica = connection.OvsdbIdl.from_server(remote, schema)
    own = type(kind.__name__, (kind,), {"_ovsdb_connection": None})
    return own(connection.Connection(replica, timeout=10))


@pytest.fixture
def nb(ovn: Northd) -> Iterator[Any]:
    """A northbound backend of its own for each test."""
    api = backend(nb_impl.OvnNbApiIdlImpl, ovn.nb.remote, "OVN_Northbound")
    yield api
    api.ovsdb_connection.stop(10)


@pytest.fixture
def other_nb(ovn: Northd) -> Iterator[Any]:
    """A second northbound backend, as another server process has it."""
    api = backend(nb_impl.OvnNbApiIdlImpl, ovn.nb.remote, "OVN_Northbound")
    yield api
    api.ovsdb_connection.stop(10)


@pytest.fixture
def sb(ovn: Northd) -> Iterator[Any]:
    """A southbound backend."""
    api = backend(sb_impl.OvnSbApiIdlImpl, ovn.sb.remote, "OVN_Southbound")
    yield api
    api.ovsdb_connection.stop(10)


@pytest.fixture
def emptied(ovn: Northd) -> Iterator[None]:
    """Leave no routers in OVN for the next test, once no replica is there to be confused."""
    yield
    for table, command in (("Logical_Router", "lr-del"), ("Logical_Switch", "ls-del")):
        for row in ovn.nb.run("ovn-nbctl", "--bare", "--columns=_uuid", "list", table).split():
            ovn.nb.run("ovn-nbctl", command, row)
