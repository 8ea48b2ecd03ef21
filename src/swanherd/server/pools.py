"""Which subnets have an address left to give, by Neutron's own rows.

To try costs Neutron a transaction and the log a line, each time; on a busy machine a second.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2

# The first and the last address, as numbers.
_Range = tuple[int, int]


def exhausted(session: Any, subnet_ids: Collection[str]) -> frozenset[str]:
    """Return the subnets whose allocation pools are given away to the last address.

    Whether the others have one is IPAM's to say.
    """
    row = models_v2.IPAllocation
    given = dict(
        session.execute(
            sa.select(row.subnet_id, sa.func.count())
            .where(row.subnet_id.in_(subnet_ids))
            .group_by(row.subnet_id)
        ).all()
    )
    return frozenset(
        subnet_id
        for subnet_id, pools in _pools(session, subnet_ids).items()
        # Addresses outside of the pools count too: only where there are so many all are read.
        if given.get(subnet_id, 0) >= _size(pools)
        and _given_of(session, subnet_id, pools) >= _size(pools)
    )


def _pools(session: Any, subnet_ids: Collection[str]) -> Mapping[str, Sequence[_Range]]:
    row = models_v2.IPAllocationPool
    found: dict[str, list[_Range]] = {}
    for pool in session.execute(
        sa.select(row.subnet_id, row.first_ip, row.last_ip).where(row.subnet_id.in_(subnet_ids))
    ):
        found.setdefault(pool.subnet_id, []).append(
            (_number(pool.first_ip), _number(pool.last_ip))
        )
    return found


def _given_of(session: Any, subnet_id: str, pools: Sequence[_Range]) -> int:
    row = models_v2.IPAllocation
    addresses = session.scalars(sa.select(row.ip_address).where(row.subnet_id == subnet_id))
    return sum(any(first <= a <= last for first, last in pools) for a in map(_number, addresses))


def _size(pools: Sequence[_Range]) -> int:
    return sum(last - first + 1 for first, last in pools)


def _number(address: str) -> int:
    return int(ipaddress.ip_address(address))
