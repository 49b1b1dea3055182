"""The performance budget, its file and its comparison with measured figures."""

from pathlib import Path

import pytest

from benchmarks import budget
from benchmarks.budget import InvalidBudget, Limit
from benchmarks.figures import Figure, Kind, Results

CPU = ("many-small", "autos worker cpu")
RATIO = ("many-small", "autos speed beside the script")


def figure(
    key: tuple[str, str], *values: float, kind: Kind = "cpu", unit: str = "ms/job"
) -> Figure:
    subject, _, name = key[1].partition(" ")
    return Figure(key[0], subject, kind, name, unit, values)


@pytest.mark.parametrize(
    ("limit", "held", "broken"),
    [
        (Limit(100.0, is_upper=True, tolerance=0.1), 109.9, 110.1),
        (Limit(0.5, is_upper=False, tolerance=0.2), 0.41, 0.39),
        (Limit(42.0, is_upper=True, tolerance=0.0), 42.0, 43.0),
    ],
)
def test_a_limit_holds_up_to_its_tolerance(limit: Limit, held: float, broken: float) -> None:
    assert limit.holds((held,))
    assert not limit.holds((broken,))


def test_a_breach_names_figure_budget_and_reached_value() -> None:
    results = Results((figure(CPU, 130.0, 118.0, 125.0),))
    limits = {CPU: Limit(92.0, is_upper=True, tolerance=0.15)}
    assert budget.breaches(results, limits) == [
        "many-small, autos worker cpu: reached 118 ms/job; "
        "the budget is ≤ 92.0 + 15 %, so 106 at the utmost."
    ]


def test_a_ratio_breaches_by_falling() -> None:
    limits = {RATIO: Limit(0.35, is_upper=False, tolerance=0.2)}
    fine, slow = figure(RATIO, 0.29, unit="×"), figure(RATIO, 0.27, unit="×")
    assert budget.breaches(Results((fine,)), limits) == []
    (sentence,) = budget.breaches(Results((slow,)), limits)
    assert "reached 0.270 ×; the budget is ≥ 0.350 − 20 %, so 0.280" in sentence


def test_the_best_repetition_decides() -> None:
    """Other work on the machine makes a figure worse, never better."""
    fast, slow = figure(CPU, 91.0, 300.0, 500.0), figure(RATIO, 0.1, 0.36, unit="×")
    limits = {
        CPU: Limit(92.0, is_upper=True, tolerance=0.0),
        RATIO: Limit(0.35, is_upper=False, tolerance=0.0),
    }
    assert budget.breaches(Results((fast, slow)), limits) == []


def test_a_figure_that_was_not_measured_is_a_breach() -> None:
    """A renamed figure must not switch its budget off."""
    results = Results((figure(CPU, 1.0),))
    limits = {RATIO: Limit(0.35, is_upper=False, tolerance=0.2)}
    (sentence,) = budget.breaches(results, limits)
    assert "not measured" in sentence


def test_workloads_that_were_not_run_are_left_out() -> None:
    limits = {("one-job", "autos worker cpu"): Limit(1.0, is_upper=True, tolerance=0.0)}
    assert budget.breaches(Results((figure(CPU, 5.0),)), limits) == []


@pytest.mark.parametrize(
    "entry",
    [
        "{ tolerance = 0.1 }",
        "{ at_most = 1, at_least = 1, tolerance = 0.1 }",
        "{ at_most = 1 }",
        "{ at_most = 1, tolerance = 0.1, tolerence = 0.2 }",
        "{ at_most = 'one', tolerance = 0.1 }",
    ],
)
def test_an_entry_of_a_wrong_form_is_named(tmp_path: Path, entry: str) -> None:
    file = tmp_path / "budget.toml"
    file.write_text(f'[status]\n"autos api cpu" = {entry}\n')
    with pytest.raises(InvalidBudget, match="status, autos api cpu"):
        budget.load(file)


def test_the_budget_of_the_repository_is_read() -> None:
    limits = budget.load()
    workloads = {workload for workload, _ in limits}
    assert {"one-job", "ten-jobs", "small-job", "many-small", "status"} <= workloads
    assert all(0 <= limit.tolerance < 1 for limit in limits.values())
