"""The commands in README and docs exist."""

import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.unit.deploy.compose import ROOT

_BLOCK: Final = re.compile(r"^```sh$(.*?)^```$", re.MULTILINE | re.DOTALL)
_PAGES: Final = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_LINES: Final = sorted(
    {
        line.strip().removeprefix(".venv/bin/")
        for page in _PAGES
        for block in _BLOCK.findall(page.read_text())
        for line in block.splitlines()
    }
)
_COMMANDS: Final = [line for line in _LINES if line.startswith("autos ")]
_TEMPORAL: Final = [line for line in _LINES if line.startswith("temporal ")]
_TARGETS: Final = [line for line in _LINES if line.startswith("make ")]


def exit_code(line: str) -> int:
    """The exit code of the command with `--help`, which only parses the line."""
    words = shlex.split(line, comments=True)[1:]
    return CliRunner().invoke(app, [*words, "--help"]).exit_code


@pytest.mark.parametrize("line", _COMMANDS)
def test_documented_autos_command_exists_with_its_options(line: str) -> None:
    """F49."""
    assert exit_code(line) == 0


@pytest.mark.parametrize("line", ["autos jobs pauze", "autos jobs pause --nevertheless"])
def test_invalid_command_is_detected(line: str) -> None:
    assert exit_code(line) == 2


@pytest.mark.parametrize("line", _TEMPORAL)
def test_documented_temporal_command_exists_with_its_options(line: str) -> None:
    """(S38) In the program that `make` installs into `.venv/bin`."""
    program = Path(sys.executable).with_name("temporal")
    words = shlex.split(line, comments=True)[1:]
    verbs = list(takewhile(lambda word: not word.startswith("-"), words))
    described = subprocess.run(
        [str(program), *verbs, "--help"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert f"temporal {' '.join(verbs)}" in described
    for option in (word for word in words if word.startswith("--")):
        assert option in described


@pytest.mark.parametrize("line", _TARGETS)
def test_documented_make_target_exists(line: str) -> None:
    """F49."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert shlex.split(line, comments=True)[1] in targets


def test_documents_contain_commands() -> None:
    assert len(_COMMANDS) >= 5
    assert len(_TARGETS) >= 2
    assert len(_TEMPORAL) >= 7
