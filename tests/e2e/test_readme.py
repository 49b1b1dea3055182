"""The commands of README and docs, run by a shell without changes (F49)."""

import asyncio
import os
import re
import sys
import uuid
from pathlib import Path
from typing import Final

from autos.contracts.temporal_names import SEARCH_ATTRIBUTES
from cli.stack import Stack
from tests.e2e.clients import BOUND, Sandbox

ROOT: Final = Path(__file__).parents[2]
TUTORIAL: Final = ROOT / "docs" / "tutorial" / "first-job.md"
PRODUCTION: Final = ROOT / "docs" / "how-to" / "run-in-production.md"
BIN: Final = Path(sys.executable).parent
BLOCK: Final = re.compile(r"^```sh$(.*?)^```$", re.MULTILINE | re.DOTALL)
FIRST: Final = "9990002-86.2024.8.26.0100"
LONGER: Final = "9990100-88.2024.4.03.6100"


def blocks(page: Path, title: str = "") -> list[str]:
    """The commands of a page, or of one of its sections."""
    text = page.read_text()
    if title:
        section = re.search(rf"^## {title}$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
        assert section is not None
        text = section[1]
    return BLOCK.findall(text)


async def shell(script: str, folder: Path, **environment: str) -> str:
    """Run a script that must exit with 0, and return its output."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **environment},
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(BOUND):
        written, _ = await process.communicate(f"set -e\n{script}".encode())
    output = written.decode()
    assert process.returncode == 0, output
    return output


async def test_commands_of_readme_and_tutorial_run(
    sandbox: Sandbox, stack: Stack, tmp_path: Path
) -> None:
    """F49, (S38): every command of README and tutorial, in order, with a running stack.

    The shell has no other environment, and the ports are not the default ones.
    """
    case = await sandbox.new_case(173, size_bytes=2000, shape="listed-twice")
    longer = await sandbox.new_case(300, size_bytes=2000)
    commands = [*blocks(ROOT / "README.md", "A first job"), *blocks(TUTORIAL)]
    assert len(commands) >= 6
    script = "".join(commands).replace(FIRST, case["masked"]).replace(LONGER, longer["masked"])
    assert script.count(case["masked"]) >= 8
    assert longer["masked"] in script
    (tmp_path / ".autos").symlink_to(stack.data_dir)
    (tmp_path / ".venv").symlink_to(BIN.parent)
    output = await shell(script, tmp_path)
    assert "173 of 173 documents stored" in output
    assert "Saved 173 files in files/" in output
    assert "2 processes: " in output
    assert "internal-error" not in output
    assert (tmp_path / "first.pdf").stat().st_size > 0
    assert len(list((tmp_path / "files" / case["masked"]).glob("0*"))) == 173
    assert len(list((tmp_path / "files").iterdir())) == 3


async def test_search_attribute_commands_run_on_a_new_namespace(
    stack: Stack, tmp_path: Path
) -> None:
    """(S38) The namespace has none of the attributes before."""
    (commands,) = blocks(PRODUCTION, "Temporal")
    namespace = f"readme-{uuid.uuid4()}"
    output = await shell(
        f"temporal operator namespace create --namespace {namespace}\n"
        # The server needs a moment to register a new namespace.
        "until temporal operator search-attribute list > /dev/null 2>&1; do sleep 0.2; done\n"
        f"{commands}\ntemporal operator search-attribute list\n",
        tmp_path,
        PATH=f"{BIN}{os.pathsep}/usr/bin:/bin",
        TEMPORAL_ADDRESS=stack.settings_environment()["TEMPORAL_ADDRESS"],
        TEMPORAL_NAMESPACE=namespace,
    )
    for key in SEARCH_ATTRIBUTES:
        kind = key.indexed_value_type.name.title()
        assert re.search(rf"{key.name}\s+{kind}", output), key.name
