"""Plots of the results, each as PNG and SVG.

They need matplotlib, which only the extra `bench` installs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot

from benchmarks.bench import AUTOS
from benchmarks.figures import Figure, Results

_COLORS: Final = {
    "worker": "#2b6cb0",
    "api": "#63b3ed",
    "temporal": "#805ad5",
    "postgres": "#38a169",
    "script": "#a0aec0",
    "dbos": "#dd6b20",
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Write every plot for which there are figures; the files."""
    mpl.use("agg")
    # The same results give the same file.
    mpl.rcParams["svg.hashsalt"] = "autos"
    written: list[Path] = []
    for unit in ("job", "document"):
        bars = _cpu_bars(results.figures, f"ms/{unit}")
        if bars:
            written += _save(_draw_cpu(bars, unit), folder / f"cpu-per-{unit}")
    ratios = [
        figure for figure in results.figures if figure.name.startswith("speed beside the script")
    ]
    if ratios:
        written += _save(_draw_ratios(ratios), folder / "speed-beside-script")
    growth = [
        figure
        for figure in results.figures
        if figure.workload == "growth" and " cpu, " in figure.name
    ]
    if growth:
        written += _save(_draw_growth(growth), folder / "growth")
    return written


def _cpu_bars(figures: Sequence[Figure], unit: str) -> dict[str, dict[str, float]]:
    """Milliseconds by part, by the name of the bar."""
    bars: dict[str, dict[str, float]] = {}
    for figure in figures:
        part, _, label = figure.name.partition(" cpu")
        if figure.unit == unit and figure.workload != "growth" and part in _COLORS:
            name = f"{figure.workload}{label.replace(' at once', '')}: {figure.subject}"
            bars.setdefault(name, {})[part] = figure.median
    return bars


def _draw_cpu(bars: dict[str, dict[str, float]], unit: str) -> Any:
    drawing, axes = pyplot.subplots(figsize=(9, 0.45 * len(bars) + 1.5), layout="constrained")
    names = list(bars)
    for part, color in _COLORS.items():
        widths = [bars[name].get(part, 0.0) for name in names]
        if any(widths):
            start = [_before(bars[name], part) for name in names]
            axes.barh(names, widths, left=start, color=color, label=part)
    axes.invert_yaxis()
    axes.set_xlabel(f"CPU, milliseconds per {unit}")
    axes.legend(loc="best")
    return drawing


def _before(parts: dict[str, float], part: str) -> float:
    """The sum of the parts that are drawn to the left of this one."""
    order = list(_COLORS)
    return sum(parts.get(other, 0.0) for other in order[: order.index(part)])


def _draw_ratios(ratios: Sequence[Figure]) -> Any:
    drawing, axes = pyplot.subplots(figsize=(9, 0.45 * len(ratios) + 1.5), layout="constrained")
    names = [
        f"{figure.workload}{figure.name.removeprefix('speed beside the script')}: {figure.subject}"
        for figure in ratios
    ]
    medians = [figure.median for figure in ratios]
    below = [figure.median - min(figure.values) for figure in ratios]
    above = [max(figure.values) - figure.median for figure in ratios]
    colors = [
        _COLORS["worker"] if figure.subject == AUTOS else _COLORS["dbos"] for figure in ratios
    ]
    axes.barh(names, medians, xerr=[below, above], color=colors, capsize=3)
    axes.axvline(1.0, color=_COLORS["script"], linestyle="--")
    axes.invert_yaxis()
    axes.set_xlabel("Speed beside the bare script (1 = as fast), with lowest and highest")
    return drawing


def _draw_growth(figures: Sequence[Figure]) -> Any:
    drawing, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for part, color in (*_COLORS.items(), ("total", "black")):
        points = [
            (int(label.split(" ")[0].replace(",", "")), figure.median)
            for figure in figures
            for name, _, label in (figure.name.partition(" cpu, "),)
            if name == part
        ]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", color=color, label=part)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Documents of the case")
    axes.set_ylabel("CPU, milliseconds per document")
    axes.legend()
    return drawing


def _save(drawing: Any, path: Path) -> list[Path]:
    files = [path.with_suffix(".png"), path.with_suffix(".svg")]
    for file in files:
        drawing.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    pyplot.close(drawing)
    return files
