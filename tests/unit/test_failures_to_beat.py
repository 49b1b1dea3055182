"""Every failure that Autos was built to beat has a test that names it in its docstring.

The table is ours, in our words. Whether a test really shows what it names is for its reader to
judge; that nobody forgets one is checked here.
"""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[1]

FAILURES: Final = {
    "F1": "A hundred jobs in a row on one worker all reach an end.",
    "F2": "A job without a webhook downloads everything.",
    "F3": "A failure and then a success are two requests, and the document is there.",
    "F4": "A second run asks for what is missing and undoes nothing.",
    "F5": "Whatever is killed, the documents, their hashes and the event are the same.",
    "F6": "Many callers at once are one job and one request per document.",
    "F7": "Every link in a status and in a webhook opens the recorded bytes.",
    "F8": "No webhook reaches into our own network, and no answer's body comes back.",
    "F9": "Documents of one name, in many jobs at once, keep their own bytes.",
    "F10": "A receiver that breaks the connection is tried again; the job stays completed.",
    "F11": "Every accepted webhook is told one end, whatever the ending.",
    "F12": "What is not the document is never stored as one.",
    "F13": "One GET of an unknown process brings all of it.",
    "F15": "Every job ends with an ended status.",
    "F16": "Each answer of the source has its reason; a dead token is a wait.",
    "F17": "The API can be restarted under load, and no job notices.",
    "F19": "One source id in two processes is two documents.",
    "F20": "No limit of time ends a long job.",
    "F22": "Attempts, times and the history of jobs are right.",
    "F24": "A forced refresh reads the metadata again and brings what is new.",
    "F28": "A document that is listed twice is one row, with a second address.",
    "F32": "No secret and no party is in a log, a history or an error.",
    "F34": "Webhooks are signed as the standard's own library wants it.",
    "F35": "A webhook's address is shown to its owner only.",
    "F36": "Of an API key only a hash is kept.",
    "F37": "Errors tell a stable type and a request id, not our insides.",
    "F38": "A number that cannot be right is refused before anybody is asked.",
    "F40": "Five at a time are really five requests in flight.",
    "F41": "A large document does not grow the memory.",
    "F42": "Nothing is left on disk.",
    "F44": "A status of a thousand documents is cheap, also the second time.",
    "F45": "The source never sees more requests than configured.",
    "F47": "Lists are light and paged.",
    "F49": "The commands that the README shows work.",
    "U1": "A status says what a job waits for, or its place, and how long it will take.",
    "U3": "Courts and tenants do not block each other.",
    "U4": "Deliveries are durable, giving up is loud, what was missed can be replayed.",
    "U5": "Everything that is listed is stored or failed with a reason.",
}
LATER: Final = {
    "F14": "Rate limits that refuse.",
    "F30": "A scan for secrets in the checks.",
    "U2": "Polling that costs next to nothing.",
}
"""They come with a later issue."""

_NAME: Final = re.compile(r"\b[FU]\d+\b")


@cache
def names_in_docstrings(name_pattern: re.Pattern[str]) -> dict[str, list[str]]:
    """Which tests name which row of a table."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if not node.name.startswith("test_"):
                    continue
                for name in name_pattern.findall(ast.get_docstring(node) or ""):
                    found[name].append(f"{path.relative_to(TESTS)}::{node.name}")
    return found


@pytest.mark.parametrize("failure", FAILURES)
def test_a_test_names_the_failure(failure: str) -> None:
    assert names_in_docstrings(_NAME)[failure], (
        f"No test's docstring names {failure}: {FAILURES[failure]}"
    )


def test_no_test_names_a_failure_that_is_none() -> None:
    assert set(names_in_docstrings(_NAME)) <= FAILURES.keys() | LATER.keys()
