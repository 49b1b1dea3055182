"""What the documentation says of the source and the sandbox is there."""

import re
from pathlib import Path

from sandbox.catalogue import Catalogue
from sandbox.faults import FaultName

ROOT = Path(__file__).parents[3]
CODE = ("api", "activities", "autos", "cli", "sandbox", "worker", "workflows")


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
    for name, number in Catalogue().names().items():
        if not name.startswith("portfolio-"):
            assert f"| `{name}` | {number.masked} |" in page


def test_what_code_cites_of_the_source_is_a_section() -> None:
    page = (ROOT / "docs" / "source.md").read_text()
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    sections = {heading.lower().replace(" ", "-") for heading in headings}
    cited = {
        section
        for folder in CODE
        for path in (ROOT / folder).rglob("*.py")
        for section in re.findall(r"docs/source\.md#([\w-]+)", path.read_text())
    }
    assert cited
    assert cited <= sections, cited - sections
