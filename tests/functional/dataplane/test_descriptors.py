"""Who watches many namespaces keeps the numbers that select(2) takes for who needs them."""

import errno
import os
import subprocess
import sys

import pytest

from swanherd.dataplane import guards, namespace
from swanherd.dataplane.privileged import removals, watch
from swanherd.descriptors import SELECTABLE
from swanherd.testing.node_contract import ROUTER, build
from tests.functional.dataplane.stand import RealHands

NFT = pytest.mark.skipif(guards.choose().kind != "nft", reason="the kernel has no nf_tables")

# In a process of its own: libnftables would end it.
_WITHOUT_LOW_NUMBERS = """
import os
from swanherd.dataplane.privileged import nft
nft.run("list tables")
taken = [os.dup(2)]
while taken[-1] < 1024:
    taken.append(os.dup(2))
try:
    nft.run("list tables")
except OSError as error:
    print(error.errno)
os.closerange(taken[0], taken[-1] + 1)
nft.run("list tables")
"""


def test_what_watches_a_namespace_has_no_low_number(node):
    build(node, RealHands(guards.choose()))
    name = namespace.name_of(ROUTER)
    try:
        watch.wait({name: [os.getpid()]}, 0.0)
        removals.wait([name], 0.0)
        kept = (*watch._watched[name].sockets, *removals._watched[name].sockets)
        assert len(kept) == 4 or guards.choose().kind != "nft"
        assert min(sock.fileno() for sock in kept) >= SELECTABLE
    finally:
        watch.wait({}, 0.0)
        removals.wait([], 0.0)


@NFT
def test_without_a_low_number_a_ruleset_fails_and_the_process_goes_on():
    run = (sys.executable, "-c", _WITHOUT_LOW_NUMBERS)
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(errno.EMFILE)]
