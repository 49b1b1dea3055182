"""Plans of rounds are determined by their seed, and all kinds of actions occur."""

from collections import Counter

from autos.contracts.retries import retry_rule
from sandbox.faults import FaultName
from tests.drills.faults import FINAL, OUTAGES, PASSING, REASONS, REFUSED, SLOW, Strikes
from tests.drills.harms import HARMS
from tests.drills.plan import (
    FIXED,
    PARTS,
    Fault,
    Harm,
    Kill,
    make_round,
)

PLANS = [make_round(seed) for seed in range(1, 401)]


def test_plan_is_determined_by_its_seed() -> None:
    assert make_round(7) == make_round(7)
    assert len({str(plan) for plan in PLANS}) == len(PLANS)


def test_all_parts_are_killed_and_all_actions_occur() -> None:
    actions = [action for plan in PLANS for action in plan.actions]
    killed = Counter(action.part for action in actions if isinstance(action, Kill))
    assert set(killed) == set(PARTS)
    assert min(killed.values()) > 30
    kinds = Counter(type(action) for action in actions)
    assert len(kinds) == 8
    assert min(kinds.values()) > 20
    struck = {action.name for action in actions if isinstance(action, Fault)}
    assert struck == {*OUTAGES, *PASSING, *SLOW, *FINAL, REFUSED}
    harmed = Counter(action.name for action in actions if isinstance(action, Harm))
    assert set(harmed) == set(HARMS)
    assert min(harmed.values()) > 3
    assert any(action.down is None for action in actions if isinstance(action, Kill))


def test_fixed_rounds_kill_each_part() -> None:
    killed = {action.part for plan in FIXED for action in plan.actions if isinstance(action, Kill)}
    assert killed == set(PARTS)


def test_faults_exist_and_passing_ones_leave_an_attempt() -> None:
    assert set(REASONS) <= {name.value for name in FaultName}
    # `first 2 each`: the third request succeeds and must be within the attempts.
    assert all(retry_rule(REASONS[name]).attempts >= 3 for name in PASSING)
    assert all(Strikes((REASONS[name],)).explain(REASONS[name]) for name in FINAL)
