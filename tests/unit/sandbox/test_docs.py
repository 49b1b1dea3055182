"""The documentation of the sandbox lists every case and fault."""

from pathlib import Path

from sandbox.cases.known import KnownCases
from sandbox.faults import FaultName

ROOT = Path(__file__).parents[3]


def test_every_fault_is_in_the_page() -> None:
    page = (ROOT / "docs" / "reference" / "sandbox.md").read_text()
    rows = [
        f"| `{fault.value}` | {', '.join(sorted(fault.routes))} | {fault.description} |"
        for fault in FaultName
    ]
    missing = [row for row in rows if row not in page]
    assert not missing, "\n".join(missing)


def test_every_case_is_in_the_page() -> None:
    page = (ROOT / "docs" / "reference" / "sandbox.md").read_text()
    for name, number in KnownCases().names().items():
        if not name.startswith("portfolio-"):
            assert f"| `{name}` | {number.masked} |" in page
