"""`Settings`, `.env.example` and the configuration reference agree: names, order and defaults."""

import re
from pathlib import Path
from typing import Final

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from autos.settings import DEFAULT_USER_AGENT, Settings

ROOT: Final = Path(__file__).parents[3]


def _written(value: object) -> str:
    """A default as written in the documentation."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value).lower() if isinstance(value, bool) else str(value)


SETTINGS: Final = {
    f"AUTOS_{name.upper()}": _written(field.default)
    for name, field in Settings.model_fields.items()
}
_EXAMPLE: Final = re.compile(r"^# (AUTOS_[A-Z0-9_]+)=(.*)$", re.MULTILINE)
_ROW: Final = re.compile(
    r"^\| `(AUTOS_[A-Z0-9_]+)` \| (?:`([^`]*)`)? *\| ([^|]+) \|$", re.MULTILINE
)


def test_example_lists_every_setting_with_its_default() -> None:
    assert dict(_EXAMPLE.findall((ROOT / ".env.example").read_text())) == SETTINGS


def test_copy_of_the_example_changes_no_setting() -> None:
    assert not dotenv_values(ROOT / ".env.example")


def test_reference_lists_every_setting_with_its_default() -> None:
    rows = _ROW.findall((ROOT / "docs/reference/configuration.md").read_text())
    shortened = {"AUTOS_PDPJ_USER_AGENT": DEFAULT_USER_AGENT}
    listed = {name: shortened.get(name, default) for name, default, _ in rows}
    assert len(rows) == len(listed)
    assert listed == SETTINGS
    assert list(listed) == list(SETTINGS)


TEXTS: Final = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_document_names_only_existing_settings(path: Path) -> None:
    ours = {"AUTOS_API_KEY"}  # of the command line, not of the service
    named = set(re.findall(r"\bAUTOS_[A-Z0-9_]*[A-Z0-9]\b", path.read_text()))
    assert named <= SETTINGS.keys() | ours


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_of_a_document_exist(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target
