"""Measured figures: what the workloads return, and what the table, plots and budget read."""

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

Kind = Literal["speed", "cpu", "history", "memory"]

TOTAL: Final = "total"
"""The part that stands for all parts of a subject."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a workload, with the value of every repetition."""

    workload: str
    subject: str
    """Whose figure it is: `autos`, `script`, `dbos`."""
    kind: Kind
    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def key(self) -> str:
        """The name in `budget.toml`, unique in its workload."""
        return f"{self.subject} {self.name}"

    @property
    def median(self) -> float:
        """The median of the repetitions."""
        return statistics.median(self.values)


@dataclass(frozen=True)
class Results:
    """The figures of workloads, and under which conditions each workload was measured."""

    figures: tuple[Figure, ...]
    conditions: dict[str, str] = field(default_factory=dict)
    """By workload: commit, time, cores, load."""

    def save(self, path: Path) -> None:
        """Write the results as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "conditions": self.conditions,
            "figures": [asdict(figure) for figure in self.figures],
        }
        path.write_text(json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the results that `save` wrote."""
        content = json.loads(path.read_text())
        figures = (
            Figure(**{**entry, "values": tuple(entry["values"])}) for entry in content["figures"]
        )
        return cls(tuple(figures), content["conditions"])

    def merged_into(self, earlier: Self) -> Self:
        """These results, with the earlier figures of the workloads that were not run now."""
        run = {figure.workload for figure in self.figures}
        kept = tuple(figure for figure in earlier.figures if figure.workload not in run)
        conditions = {
            workload: text for workload, text in earlier.conditions.items() if workload not in run
        }
        return type(self)(kept + self.figures, conditions | self.conditions)


class Collector:
    """Collects the values of a workload's figures over its repetitions."""

    def __init__(self, workload: str) -> None:
        self.workload = workload
        self._values: dict[tuple[str, Kind, str, str], list[float]] = {}

    def add(self, subject: str, kind: Kind, name: str, unit: str, value: float) -> None:
        """Add the value of one repetition."""
        self._values.setdefault((subject, kind, name, unit), []).append(value)

    def add_cpu(
        self, subject: str, spent: dict[str, float], units: int, unit: str, label: str = ""
    ) -> None:
        """Add the CPU of each part per unit, and that of all together if there are several.

        Args:
            subject: whose parts they are.
            spent: milliseconds by part.
            units: how many jobs, documents or requests the parts worked on.
            unit: the name of one of them.
            label: ends the names of the figures.
        """
        sums = {TOTAL: sum(spent.values())} if len(spent) > 1 else {}
        for part, milliseconds in (spent | sums).items():
            self.add(subject, "cpu", f"{part} cpu{label}", f"ms/{unit}", milliseconds / units)

    def figures(self) -> list[Figure]:
        """The figures, in the order in which they were first added."""
        return [
            Figure(self.workload, subject, kind, name, unit, tuple(values))
            for (subject, kind, name, unit), values in self._values.items()
        ]


def percentile(values: Iterable[float], percent: int) -> float:
    """The value that `percent` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def rounded(value: float) -> str:
    """A number with three significant digits, without an exponent."""
    if value == 0:
        return "0"
    magnitude: Any = f"{value:.2e}".partition("e")[2]
    return f"{value:,.{max(0, 2 - int(magnitude))}f}"
