"""Every reason has a message, a retry rule and a line in the documentation."""

import re
from pathlib import Path

import pytest

from activities.failures import MESSAGES
from autos.contracts.reasons import Doubt, Reason, WaitReason
from autos.contracts.retries import OUTAGES, RETRIES, retry_rule
from autos.settings import Settings
from autos.source.limits.breaker import OUTAGE

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference" / "reasons.md"
HEAD = "| reason | attempts | delays | sign of an outage | opens the breaker |"


def _span(seconds: float) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"


def table() -> list[str]:
    """The expected rows of the documented table."""
    unit = Settings.model_fields["retry_unit_seconds"].default
    rows = [HEAD, "|---|---|---|---|---|"]
    for reason in sorted(Reason, key=lambda reason: (reason not in RETRIES, reason)):
        rule = retry_rule(reason)
        waits = ", ".join(_span(delay * unit) for delay in rule.delays[: rule.attempts - 1])
        if rule.attempts - 1 > len(rule.delays):
            waits += ", and so on"
        probed = "yes" if reason in OUTAGES else ""
        opens = "yes" if reason in OUTAGE else ""
        rows.append(f"| `{reason}` | {rule.attempts} | {waits} | {probed} | {opens} |")
    return [" ".join(row.split()) for row in rows]


def test_documented_retry_schedule_matches_the_code() -> None:
    lines = [" ".join(line.split()) for line in PAGE.read_text().splitlines()]
    expected = table()
    begin = lines.index(HEAD)
    assert lines[begin : begin + len(expected)] == expected, "\n".join(expected)
    assert not "".join(lines[begin + len(expected) :][:1]).startswith("|")


def test_every_rule_retries_with_growing_delays() -> None:
    for rule in RETRIES.values():
        assert rule.attempts > 1
        assert rule.delays
        assert list(rule.delays) == sorted(rule.delays)


@pytest.mark.parametrize("reason", [*Reason, *WaitReason, *Doubt], ids=repr)
def test_every_reason_has_a_message_and_is_documented(
    reason: Reason | WaitReason | Doubt,
) -> None:
    """The line is a row of a table, or the value with its meaning in brackets."""
    assert re.fullmatch(r"[A-Z].+\.", reason.text), reason.text
    line = re.compile(rf"^\|[^|]*`{reason}`[^|]*\|[^|]*[a-z]{{3}}|`{reason}` \(", re.MULTILINE)
    assert any(line.search(page.read_text()) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_retry_rule(reason: Reason) -> None:
    rule = retry_rule(reason)
    assert rule.attempts == 1 or len(rule.delays) < rule.attempts


def test_every_failure_type_has_the_message_of_its_reason() -> None:
    for error_type, message in MESSAGES.items():
        wait = error_type in set(WaitReason)
        assert message == (WaitReason(error_type) if wait else Reason(error_type)).text
