"""The documented retry schedule is the one in the code."""

from pathlib import Path

from autos.contracts.retries import OUTAGES, RETRIES, retry_rule
from autos.contracts.states import Reason
from autos.settings import Settings
from autos.source.courtesy.breaker import SIGNS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "reasons.md"
HEAD = "| reason | attempts | delays | sign of an outage | opens the breaker |"


def _span(seconds: float) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"


def table() -> list[str]:
    """The table as the page has to show it."""
    unit = Settings.model_fields["retry_unit_seconds"].default
    rows = [HEAD, "|---|---|---|---|---|"]
    for reason in sorted(Reason, key=lambda reason: (reason not in RETRIES, reason)):
        rule = retry_rule(reason)
        waits = ", ".join(_span(delay * unit) for delay in rule.delays[: rule.attempts - 1])
        if rule.attempts - 1 > len(rule.delays):
            waits += ", and so on"
        probed = "yes" if reason in OUTAGES else ""
        opens = "yes" if reason in SIGNS else ""
        rows.append(f"| `{reason}` | {rule.attempts} | {waits} | {probed} | {opens} |")
    return [" ".join(row.split()) for row in rows]


def test_the_documented_retry_schedule_is_the_codes() -> None:
    lines = [" ".join(line.split()) for line in PAGE.read_text().splitlines()]
    expected = table()
    begin = lines.index(HEAD)
    assert lines[begin : begin + len(expected)] == expected, "\n".join(expected)
    assert not lines[begin + len(expected)].startswith("|")


def test_whoever_is_asked_again_has_a_reason_to_hope() -> None:
    for rule in RETRIES.values():
        assert rule.attempts > 1
        assert rule.delays
        assert list(rule.delays) == sorted(rule.delays)
