"""The table of results, as Markdown."""

from collections.abc import Mapping, Sequence

from benchmarks.budget import Limit
from benchmarks.figures import TOTAL, Figure, Results, rounded

_PARTS = ("worker", "api", "temporal", "postgres", "script", "dbos", TOTAL)
_HEAD = """# Measured figures

Written by `make bench`; [how to measure](../how-to/measure.md) explains the workloads. Each figure
is the median of its repetitions, with the lowest and the highest. Times and rates depend on the
machine and on what else it does; ratios, CPU per unit and history events depend on it much less.
The budget is what `make bench-check` accepts; the aim is the figure to reach.

"""


def markdown(
    results: Results, limits: Mapping[tuple[str, str], Limit], plots: Sequence[str] = ()
) -> str:
    """The whole page.

    Args:
        results: all figures.
        limits: the budget by workload and figure.
        plots: names of image files in the folder of the page.
    """
    sections = [_HEAD]
    figures = results.figures
    speed = [figure for figure in figures if figure.kind != "cpu" or figure.unit == "×"]
    sections.append("## Speed, ratios and history\n\n" + _figures(speed, limits))
    sections.append("## CPU per unit, in milliseconds\n\n" + _cpu(figures))
    limited = [figure for figure in figures if (figure.workload, figure.key) in limits]
    if limited:
        sections.append("## Figures with a budget\n\n" + _figures(limited, limits))
    if plots:
        images = [f"![{name.removesuffix('.svg')}]({name})\n" for name in plots]
        sections.append("## Plots\n\n" + "\n".join(images))
    rows = [[workload, text] for workload, text in results.conditions.items()]
    sections.append("## Conditions\n\n" + table(["workload", "measured at"], rows))
    return "\n".join(sections)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _figures(figures: Sequence[Figure], limits: Mapping[tuple[str, str], Limit]) -> str:
    head = ["workload", "whose", "figure", "median", "lowest to highest", "unit", "budget", "aim"]
    rows = []
    for figure in figures:
        limit = limits.get((figure.workload, figure.key))
        rows.append(
            [
                figure.workload,
                figure.subject,
                figure.name,
                f"**{rounded(figure.median)}**",
                f"{rounded(min(figure.values))} to {rounded(max(figure.values))}",
                figure.unit,
                limit.text if limit else "",
                limit.aim_text if limit else "",
            ]
        )
    return table(head, rows)


def _cpu(figures: Sequence[Figure]) -> str:
    """One row per workload and subject, one column per part."""
    found: dict[tuple[str, str, str, str], dict[str, Figure]] = {}
    for figure in figures:
        part, separator, label = figure.name.partition(" cpu")
        if figure.kind == "cpu" and separator and part in _PARTS and figure.unit != "×":
            key = (figure.workload, label.removeprefix(", "), figure.subject, figure.unit)
            found.setdefault(key, {})[part] = figure
    rows = []
    for (workload, label, subject, unit), parts in found.items():
        name = f"{workload}, {label}" if label else workload
        cells = [_with_spread(parts.get(part)) for part in _PARTS]
        rows.append([name, subject, unit.removeprefix("ms/"), *cells])
    return table(["workload", "whose", "unit", *_PARTS], rows)


def _with_spread(figure: Figure | None) -> str:
    if figure is None:
        return ""
    if len(figure.values) == 1:
        return f"**{rounded(figure.median)}**"
    spread = f"{rounded(min(figure.values))} to {rounded(max(figure.values))}"
    return f"**{rounded(figure.median)}** ({spread})"
