"""The repository is self-contained: it cites only what it contains."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = (
    "activities",
    "api",
    "autos",
    "cli",
    "migrations",
    "sandbox",
    "worker",
    "workflows",
    "docs/reference",
)

# Joined, so this file does not contain the forbidden texts.
INDEX_HOSTS: Final = tuple(
    ".".join(labels)
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("deb", "debian", "org"),
    )
)
MACHINE_PATHS: Final = re.compile(r"(?<![\w.${}])/(?:root|work|home/[a-z]+|Users/[A-Za-z]+)/")
FOREIGN_CITATIONS: Final = re.compile(r"DESIGN §|\bfacts/[a-z-]+|\bfindings/[a-z-]+|\.\./shared")
ROW_CITATIONS: Final = re.compile(r"\((?!S3\))(?:[FSU]\d{1,2}(?:, )?)+\)")


def texts(*folders: str) -> dict[str, str]:
    """The tracked text files in the folders, by path."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *folders], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    found = {}
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in path.read_bytes():
            found[name] = path.read_text(errors="replace")
    return found


def test_no_file_names_a_package_index_or_a_path_of_one_machine() -> None:
    found = texts(".")
    assert len(found) > 300
    for name, text in found.items():
        for host in INDEX_HOSTS:
            assert host not in text, f"{name} names {host}"
        path = MACHINE_PATHS.search(text)
        assert path is None or name == "tests/unit/test_repository.py", f"{name}: {path}"


def test_no_file_cites_documents_outside_the_repository() -> None:
    for name, text in texts(".").items():
        cited = FOREIGN_CITATIONS.search(text)
        assert cited is None or name == "tests/unit/test_repository.py", f"{name} cites {cited}"


def test_product_code_cites_no_failure_id() -> None:
    """Their ids are for tests; `docs/explanation/failures.md` explains them."""
    found = texts(*PRODUCT)
    assert len(found) > 150
    for name, text in found.items():
        cited = ROW_CITATIONS.search(text)
        assert cited is None, f"{name} cites {cited}"
