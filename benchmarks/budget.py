"""The performance budget, `benchmarks/budget.toml`, and its comparison with measured figures.

The budget holds figures that a change must not worsen. Only figures that hold on a busy machine
belong there: CPU per unit, ratios, history events. Other work on the machine makes these figures
worse, never better, so the best repetition is compared.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Results, rounded

BUDGET_FILE: Final = Path(__file__).with_name("budget.toml")


class InvalidBudget(ValueError):
    """An entry of the budget file has a wrong form; the message names it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The budget of one figure."""

    bound: float
    is_upper: bool
    """True if smaller is better."""
    tolerance: float
    """As a share of the bound, for the spread between runs."""
    aim: float | None = None
    """The figure to reach one day; not enforced."""

    @property
    def accepted(self) -> float:
        """The last accepted value."""
        return self.bound * (1 + self.tolerance if self.is_upper else 1 - self.tolerance)

    def best(self, values: Sequence[float]) -> float:
        """The repetition that other work on the machine disturbed least."""
        return min(values) if self.is_upper else max(values)

    def holds(self, values: Sequence[float]) -> bool:
        """Whether the best repetition is within the budget."""
        best = self.best(values)
        return best <= self.accepted if self.is_upper else best >= self.accepted

    @property
    def text(self) -> str:
        """Such as `≤ 92 + 15 %`."""
        sign, change = ("≤", "+") if self.is_upper else ("≥", "−")
        return f"{sign} {rounded(self.bound)} {change} {self.tolerance:.0%}".replace("%", " %")

    @property
    def aim_text(self) -> str:
        """Such as `≤ 40`; empty without an aim."""
        if self.aim is None:
            return ""
        return f"{'≤' if self.is_upper else '≥'} {rounded(self.aim)}"


def load(path: Path = BUDGET_FILE) -> dict[tuple[str, str], Limit]:
    """The limits by workload and figure.

    Raises:
        InvalidBudget: an entry has a wrong form.
    """
    content = tomllib.loads(path.read_text())
    return {
        (workload, figure): _limit(f"{workload}, {figure}", entry)
        for workload, entries in content.items()
        for figure, entry in entries.items()
    }


def breaches(results: Results, limits: Mapping[tuple[str, str], Limit]) -> list[str]:
    """A sentence for each figure that is behind its budget, or was not measured.

    Workloads that were not run are left out.
    """
    measured = {(figure.workload, figure.key): figure for figure in results.figures}
    workloads = {figure.workload for figure in results.figures}
    found = []
    for (workload, name), limit in limits.items():
        figure = measured.get((workload, name))
        if workload not in workloads:
            continue
        if figure is None:
            found.append(f"{workload}, {name}: not measured; the budget is {limit.text}.")
        elif not limit.holds(figure.values):
            found.append(
                f"{workload}, {name}: reached {rounded(limit.best(figure.values))} {figure.unit}; "
                f"the budget is {limit.text}, so {rounded(limit.accepted)} at the utmost."
            )
    return found


def _limit(name: str, entry: Mapping[str, Any]) -> Limit:
    bounds = [key for key in ("at_most", "at_least") if key in entry]
    unknown = set(entry) - {"at_most", "at_least", "tolerance", "aim"}
    numbers = all(isinstance(value, int | float) for value in entry.values())
    if len(bounds) != 1 or unknown or not numbers or "tolerance" not in entry:
        raise InvalidBudget(
            f"{name}: give at_most or at_least, and tolerance; aim is optional. All are numbers."
        )
    return Limit(entry[bounds[0]], bounds[0] == "at_most", entry["tolerance"], entry.get("aim"))
