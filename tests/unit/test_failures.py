"""`docs/explanation/failures.md` and the ids in the tests' docstrings agree.

Does not check that a test shows what the row says; that is for its reader to judge.
"""

import ast
import re
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
PAGE: Final = TESTS.parent / "docs" / "explanation" / "failures.md"

_ROW: Final = re.compile(r"^\| ([FSU]\d+) \|(.*)$", re.MULTILINE)
_ID: Final = re.compile(r"\b[FSU]\d+\b")


def ids_in_tests() -> set[str]:
    """The ids in the docstrings of all test functions."""
    return {
        name
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        for name in _ID.findall(ast.get_docstring(node) or "")
    }


def test_each_failure_has_a_test_and_each_id_in_a_test_has_a_row() -> None:
    rows = _ROW.findall(PAGE.read_text())
    later = {name for name, text in rows if "**Later**" in text}
    assert len(rows) == len(dict(rows)), "An id has two rows."
    assert ids_in_tests() == {name for name, _ in rows} - later
