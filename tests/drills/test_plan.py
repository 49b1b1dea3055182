"""The plan of a round: the same seed is the same plan, and over the seeds everything occurs."""

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


def test_the_same_seed_is_the_same_plan_and_another_seed_another() -> None:
    assert make_round(7) == make_round(7)
    assert len({str(plan) for plan in PLANS}) == len(PLANS)


def test_over_the_seeds_every_part_is_killed_and_every_kind_of_deed_occurs() -> None:
    deeds = [deed for plan in PLANS for deed in plan.deeds]
    killed = Counter(deed.part for deed in deeds if isinstance(deed, Kill))
    assert set(killed) == set(PARTS)
    assert min(killed.values()) > 30
    kinds = Counter(type(deed) for deed in deeds)
    assert len(kinds) == 8
    assert min(kinds.values()) > 20
    struck = {deed.name for deed in deeds if isinstance(deed, Fault)}
    assert struck == {*OUTAGES, *PASSING, *SLOW, *FINAL, REFUSED}
    harmed = Counter(deed.name for deed in deeds if isinstance(deed, Harm))
    assert set(harmed) == set(HARMS)
    assert min(harmed.values()) > 3
    assert any(deed.down is None for deed in deeds if isinstance(deed, Kill))


def test_the_fixed_rounds_kill_each_part() -> None:
    killed = {deed.part for plan in FIXED for deed in plan.deeds if isinstance(deed, Kill)}
    assert killed == set(PARTS)


def test_the_faults_are_the_sandboxs_and_passing_ones_leave_an_attempt() -> None:
    assert set(REASONS) <= {name.value for name in FaultName}
    # `first 2 each`: the third request is answered well, and must be within the attempts.
    assert all(retry_rule(REASONS[name]).attempts >= 3 for name in PASSING)
    assert all(Strikes((REASONS[name],)).explain(REASONS[name]) for name in FINAL)
