"""Who may do what: neutron-lib's text of a rule, and our way of asking it sooner."""

import itertools

import neutron.policy  # noqa: F401 - registers Neutron's own checks
from neutron_lib.exceptions import PolicyCheckError
from oslo_policy import policy

from swanherd.server.api.policies import OwnersFirst, list_rules

ADMIN = policy.RuleDefault("admin_only", "role:admin").check
# An administrator, as Neutron's own rules have one.
ENFORCER = type("Enforcer", (), {"rules": {"admin_only": ADMIN}})
OWN = {"project_id": "p1"}
ROLES = ([], ["member"], ["admin"], ["reader", "Member"], ["admin", "member"])
PROJECTS = ({}, OWN, {"project_id": "p2"}, {"project_id": None})


def _rules():
    """Return those for project members, by name."""
    return {rule.name: rule for rule in list_rules() if isinstance(rule.check, OwnersFirst)}


def _plain(rule):
    return policy.DocumentedRuleDefault(
        rule.name, rule.check_str, rule.description, rule.operations
    )


def test_every_rule_for_members_is_asked_quickly_and_says_the_same_text():
    """The five resources' four and the key's: a rule is shown and compared by its text."""
    rules = _rules()
    assert len(rules) == 21
    for rule in rules.values():
        assert str(rule.check) == str(_plain(rule).check)
        assert rule == _plain(rule)


def _answer(check, target, creds):
    try:
        return check(target, creds, ENFORCER)
    except PolicyCheckError as error:  # of a target without a project
        return str(error)


def test_the_answer_is_that_of_the_text():
    """For any target and caller: owner, member, administrator, none; or it raises as that does."""
    rule = _rules()["get_ipsec_site_connection"]
    answers = set()
    for target, caller, roles in itertools.product(PROJECTS, PROJECTS, ROLES):
        creds = {**caller, "roles": roles}
        answers.add(told := _answer(rule.check, target, creds))
        assert told == _answer(_plain(rule).check, target, creds), (target, creds)
    assert answers >= {True, False}  # and on 29 what the check raises


def test_an_owner_isn_t_asked_whether_an_administrator():
    """A thousand rows of one's own are answered without the administrator's rules."""
    check = _rules()["get_ipsec_site_connection"].check
    assert check(OWN, {**OWN, "roles": ["member"]}, type("Enforcer", (), {"rules": None}))
