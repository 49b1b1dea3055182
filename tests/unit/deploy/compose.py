"""Reads docker-compose.yml for the tests, as Docker Compose would with an empty environment.

Does not check that Compose accepts the file; no Docker engine is available to these tests.
"""

import re
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

ROOT: Final = Path(__file__).parents[3]
VARIABLE: Final = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)(?P<how>:-|-|:\?)?(?P<text>[^}]*)\}")


def load() -> dict[str, Any]:
    """The file's content, with anchors and merges resolved."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def service(name: str) -> dict[str, Any]:
    """One service."""
    found: dict[str, Any] = load()["services"][name]
    return found


def environment(name: str) -> dict[str, str]:
    """The variables of a service as written in the file."""
    return {key: str(value) for key, value in service(name).get("environment", {}).items()}


def script(name: str) -> str:
    """A script of the file as the container sees it."""
    text: str = load()["configs"][name]["content"]
    return text.replace("$$", "$")
