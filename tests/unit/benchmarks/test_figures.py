"""Figures of the benchmarks: collected, kept in a file, shown in a table."""

from pathlib import Path

import pytest

from benchmarks.budget import Limit
from benchmarks.figures import Collector, Figure, Results, percentile, rounded
from benchmarks.report import markdown


def collected() -> Results:
    """Two repetitions of a workload, whose Autos has two parts."""
    collector = Collector("many-small")
    for worker, temporal, ratio in ((90.0, 70.0, 0.3), (94.0, 80.0, 0.4)):
        cpu = {"worker": worker * 20, "temporal": temporal * 20}
        collector.add_cpu("autos", cpu, 20, "job", ", 20 at once")
        name = "speed beside the script, 20 at once"
        collector.add("autos", "speed", name, "×", ratio)
    return Results(tuple(collector.figures()), {"many-small": "abc, 2 cores"})


def test_cpu_is_per_unit_with_the_total_of_all_parts() -> None:
    found = {figure.key: figure.values for figure in collected().figures}
    assert found["autos worker cpu, 20 at once"] == (90.0, 94.0)
    assert found["autos total cpu, 20 at once"] == (160.0, 174.0)


def test_results_survive_their_file(tmp_path: Path) -> None:
    results = collected()
    results.save(tmp_path / "new" / "results.json")
    assert Results.load(tmp_path / "new" / "results.json") == results


def test_a_run_of_one_workload_replaces_all_its_figures_and_no_others() -> None:
    other = Figure("status", "autos", "speed", "requests", "1/s", (200.0,))
    renamed = Figure("many-small", "autos", "speed", "old name", "1/s", (1.0,))
    earlier = Results((renamed, other), {"status": "earlier", "many-small": "earlier"})
    merged = collected().merged_into(earlier)
    assert other in merged.figures
    assert renamed not in merged.figures
    assert merged.conditions == {"status": "earlier", "many-small": "abc, 2 cores"}


def test_the_table_shows_median_spread_budget_and_parts() -> None:
    limits = {
        ("many-small", "autos speed beside the script, 20 at once"): Limit(
            0.3, is_upper=False, tolerance=0.1, aim=0.5
        )
    }
    page = markdown(collected(), limits)
    assert (
        "| many-small | autos | speed beside the script, 20 at once | **0.350** "
        "| 0.300 to 0.400 | × | ≥ 0.300 − 10 % | ≥ 0.500 |"
    ) in page
    assert (
        "| many-small, 20 at once | autos | job | **92.0** (90.0 to 94.0) |  "
        "| **75.0** (70.0 to 80.0) |  |  |  | **167** (160 to 174) |"
    ) in page
    assert "| many-small | abc, 2 cores |" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.2704, "0.270"), (5.913, "5.91"), (42.0, "42.0"), (10_432.4, "10,432")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert rounded(value) == text


def test_percentiles_are_measured_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 50) == 50.0
    assert percentile(values, 99) == 99.0
    assert percentile([7.0], 99) == 7.0
