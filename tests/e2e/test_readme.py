"""The README's commands, run as they stand there by a shell (F49)."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Final

from cli.stack import Stack
from tests.e2e.clients import BOUND, Api, Sandbox

ROOT: Final = Path(__file__).parents[2]
HAND: Final = re.compile(r"^## A first job by hand$(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK: Final = re.compile(r"^```sh$(.*?)^```$", re.MULTILINE | re.DOTALL)
FIRST: Final = "9990002-86.2024.8.26.0100"


async def test_a_first_job_by_hand(
    api: Api, sandbox: Sandbox, stack: Stack, tmp_path: Path
) -> None:
    """F49: every line of the section, in its order, beside a stack that is up."""
    case = await sandbox.new_case(173, size_bytes=2000, shape="listed-twice")
    job = (await api.start(case["number"]))["job_id"]
    section = HAND.search((ROOT / "README.md").read_text())
    assert section is not None
    blocks = BLOCK.findall(section[1])
    assert len(blocks) >= 5
    script = "set -e\n" + "".join(blocks)
    # This stack is on other ports; its case is like the README's, but this test's own.
    script = script.replace("http://127.0.0.1:8000", api.url).replace(FIRST, case["masked"])
    assert script.count(case["masked"]) >= 5
    (tmp_path / ".autos").symlink_to(stack.data_dir)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    process = await asyncio.create_subprocess_exec(
        "bash",
        env={"PATH": "/usr/bin:/bin", "JOB": job},
        cwd=tmp_path,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(BOUND):
        said, _ = await process.communicate(script.encode())
    told = said.decode()
    assert process.returncode == 0, told
    assert "173 of 173 documents stored" in told, told
    assert "internal-error" not in told
    assert (tmp_path / "first.pdf").stat().st_size > 0
