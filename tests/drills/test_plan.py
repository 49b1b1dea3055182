"""The plan of a round: the same seed is the same plan, and over the seeds everything occurs."""

from collections import Counter

from autos.contracts.retries import retry_rule
from sandbox.faults import FaultName
from tests.drills.faults import FINAL, OUTAGES, PASSING, REASONS, REFUSED, SLOW, Strikes
from tests.drills.harms import HARMS
from tests.drills.plan import (
    FIXED,
    PARTS,
    Attach,
    Cancel,
    Fault,
    Harm,
    Kill,
    Pause,
    Restart,
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


def test_no_part_is_disturbed_twice_in_a_round() -> None:
    """The stack cannot kill what is not there, nor keep down what it is about to start."""
    for plan in (*PLANS, *FIXED):
        parts = [deed.part for deed in plan.deeds if isinstance(deed, Kill)]
        parts += ["worker" for deed in plan.deeds if isinstance(deed, Restart)]
        assert len(parts) == len(set(parts))


def test_deeds_come_in_order_and_name_cases_that_there_are() -> None:
    for plan in (*PLANS, *FIXED):
        moments = [deed.at for deed in plan.deeds]
        assert moments == sorted(moments)
        for deed in plan.deeds:
            if isinstance(deed, Attach | Cancel | Pause | Fault) and deed.case is not None:
                assert deed.case < len(plan.cases)
            if isinstance(deed, Fault) and deed.document is not None:
                assert deed.case is not None
                assert deed.document < plan.cases[deed.case].documents


def test_every_receiver_has_a_name_of_its_own() -> None:
    for plan in (*PLANS, *FIXED):
        receivers = [receiver for case in plan.cases for receiver in case.receivers]
        receivers += [deed.receiver for deed in plan.deeds if isinstance(deed, Attach)]
        assert len({receiver.name for receiver in receivers}) == len(receivers)


def test_the_fixed_rounds_kill_each_part() -> None:
    killed = {deed.part for plan in FIXED for deed in plan.deeds if isinstance(deed, Kill)}
    assert killed == set(PARTS)


def test_the_faults_are_the_sandboxs_and_passing_ones_leave_an_attempt() -> None:
    assert set(REASONS) <= {name.value for name in FaultName}
    # `first 2 each`: the third request is answered well, and must be within the attempts.
    assert all(retry_rule(REASONS[name]).attempts >= 3 for name in PASSING)
    assert all(Strikes((REASONS[name],)).explain(REASONS[name]) for name in FINAL)
