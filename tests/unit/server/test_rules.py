"""Who may do what: the default rules."""

import itertools

import pytest
from oslo_config import cfg
from oslo_policy import policy

from swanherd.server.api import policies
from swanherd.server.compat import rules as lib_rules

# Neutron's own meaning of the word (neutron.conf.policies.base).
ADMIN_ONLY = policy.RuleDefault("admin_only", "role:admin")
# neutron-vpnaas' name of the psk has no rule of its own; the scheduler is the administrator's.
OURS = [rule for rule in policies.list_rules() if "vpn-" not in rule.name]


class Asked(policy.Check):
    """Fails the test that comes to it."""

    def __call__(self, target, creds, enforcer, current_rule=None):
        """Fail."""
        pytest.fail(f"asked for {current_rule}")


@pytest.fixture
def enforcer():
    """Our rules beside neutron-lib's, without a file."""
    conf = cfg.ConfigOpts()
    conf([])
    found = policy.Enforcer(conf, use_conf=False)
    theirs = policy.RuleDefault("theirs", lib_rules.ADMIN_OR_PROJECT_MEMBER)
    found.register_defaults([ADMIN_ONLY, theirs, *OURS])
    found.load_rules()
    for rule in (ADMIN_ONLY, theirs, *OURS):
        found.rules[rule.name] = rule.check
    return found


@pytest.mark.parametrize("rule", OURS, ids=lambda rule: rule.name)
def test_each_rule_decides_as_neutron_libs_own(enforcer, rule):
    """Whoever asks, of whichever project: the order of its parts changes no answer."""
    roles = ("admin", "member", "reader")
    every = itertools.chain.from_iterable(itertools.combinations(roles, n) for n in range(4))
    seen = set()
    for chosen, project in itertools.product(every, ("mine", "another's")):
        creds = {"roles": list(chosen), "project_id": "mine"}
        target = {"project_id": project}
        answer = bool(enforcer.enforce("theirs", target, creds))
        assert bool(enforcer.enforce(rule.name, target, creds)) is answer, creds
        seen.add(answer)
    assert seen == {True, False}


def test_of_a_member_nothing_more_is_asked(enforcer):
    """Neutron asks for each row of a list: whether a member is an administrator too, nobody."""
    enforcer.rules["admin_only"] = Asked("asked", "")
    creds = {"roles": ["member", "reader"], "project_id": "mine"}
    assert enforcer.enforce("get_ipsec_site_connection", {"project_id": "mine"}, creds)
