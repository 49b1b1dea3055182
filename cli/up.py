"""`autos up`: the embedded stack in the foreground, until Ctrl-C."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from cli.stack import EVERYTHING, Stack
from cli.stack.state import STATE_FILE
from cli.terminal import console

_SANDBOX_LATENCY_MS: Final = 80
"""About what the portal takes, so that a job can be watched."""


async def up(data_dir: Path, workers: int) -> int:
    """Run the command; returns its exit code."""
    console.print("Starting the embedded stack …")
    try:
        async with embedded(data_dir, workers) as stack:
            print_addresses(stack.addresses, data_dir)
            console.print("Ctrl-C stops it; the data stays.")
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        console.print("Stopped.")
    return 0


def embedded(data_dir: Path, workers: int = 1) -> Stack:
    """The whole stack, where what the person has set wins."""
    return Stack(
        data_dir,
        parts=EVERYTHING,
        workers=workers,
        sandbox_latency_ms=_SANDBOX_LATENCY_MS,
        extra_environment=given(os.environ),
        announce=_announce,
    )


def given(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings that the person made, in the environment or in the folder's `.env` file."""
    from_file = {
        name: value
        for name, value in dotenv_values(".env").items()
        if name.startswith("AUTOS_") and value
    }
    from_environment = {
        name: value
        for name, value in environment.items()
        if name.startswith(("AUTOS_", "TEMPORAL_")) and value
    }
    # The stack and this client look things up by these; no part of the stack asks for them.
    ours = ("AUTOS_DATA_DIR", "AUTOS_API_KEY")
    return {
        name: value for name, value in {**from_file, **from_environment}.items() if name not in ours
    }


def print_addresses(addresses: Mapping[str, str], data_dir: Path) -> None:
    """Print where everything is."""
    lines = {
        "API": f"{addresses['api']}/docs",
        "Temporal Web UI": addresses.get("temporal-ui", ""),
        "S3": addresses.get("s3", ""),
        "Sandbox (stands in for PDPJ)": addresses.get("sandbox", ""),
        "Admin key": f"in {data_dir / STATE_FILE} (`autos env` prints it while the stack is up)",
        "Logs": str(data_dir / "logs"),
    }
    for name, value in lines.items():
        if value:
            console.print(f"  {name:<30}{value}", markup=False, soft_wrap=True)


def _announce(text: str) -> None:
    console.print(f"  {text}", markup=False, soft_wrap=True)
