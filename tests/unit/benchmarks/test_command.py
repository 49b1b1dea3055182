"""`python -m benchmarks` as far as it measures nothing. Needs none of the packages of `bench`."""

import sys
from pathlib import Path

import pytest

from benchmarks import budget
from benchmarks.__main__ import main
from benchmarks.figures import Figure, Results

MEASURED = Path(__file__).parents[3] / "docs" / "performance" / "results.json"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    return main()


def test_a_figure_behind_its_budget_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "results.json"
    key = ("status", "autos api cpu, paced")
    for factor, code in ((0.5, 0), (2.0, 1)):
        figures = tuple(
            Figure(workload, "autos", "cpu", name.removeprefix("autos "), "ms", (value,))
            for (workload, name), limit in budget.load().items()
            if workload == "status"
            for value in (limit.accepted * (factor if (workload, name) == key else 1),)
        )
        Results(figures).save(file)
        assert run(monkeypatch, "--compare", str(file)) == code
        assert ("status, autos api cpu, paced: reached" in capsys.readouterr().out) == bool(code)


def test_an_unknown_workload_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "one-jobb")
    assert ended.value.code == 2
    assert "one-job, " in capsys.readouterr().err


def test_every_figure_of_the_budget_is_one_that_is_measured() -> None:
    """A misspelt name would fail `make bench-check` only after 15 minutes."""
    measured = {(figure.workload, figure.key) for figure in Results.load(MEASURED).figures}
    assert set(budget.load()) <= measured
