"""Each difference that a test of others shows stands in the documents, with its reason."""

from pathlib import Path

import pytest

from tests.oracles import differences

PAGE = Path(__file__).resolve().parents[3] / "docs" / "differences.md"
REASONS = {
    *differences.UNIT.values(),
    *differences.TEMPEST.values(),
    *differences.COMMANDS["all"].values(),
}


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_the_reason_is_told(reason):
    """In the very words."""
    assert reason in " ".join(PAGE.read_text().split())
