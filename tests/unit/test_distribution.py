"""`make test` hands each file to one process (tests/conftest.py)."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from tests.conftest import FIRST_HALF, TESTS, group

FILES: Final = ("tests/unit/test_filenames.py", "tests/unit/test_retry_after.py")
LINE: Final = re.compile(r"^\[(gw\d)\].* PASSED (tests/[^:]+)::", re.MULTILINE)


def test_tests_of_a_file_run_in_one_process() -> None:
    """If a new pytest-xdist distributes single tests, every process starts every server."""
    given = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}
    output = subprocess.run(
        [sys.executable, "-m", "pytest", "--verbose", "-p", "no:cacheprovider", "-n", "2", *FILES],
        cwd=TESTS.parent,
        env=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    passed = Counter(place for _, place in LINE.findall(output))
    assert set(passed) == set(FILES)
    assert min(passed.values()) > 1
    assert len(set(LINE.findall(output))) == len(FILES)


def test_end_to_end_tests_form_two_groups() -> None:
    """Each group starts the whole stack once."""
    places = [path.relative_to(TESTS).as_posix() for path in Path(TESTS, "e2e").glob("test_*.py")]
    assert set(FIRST_HALF) < set(places)
    assert len({group(place) for place in places}) == 2
