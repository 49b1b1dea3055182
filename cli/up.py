"""`autos up` runs the embedded stack in the foreground; `autos env` prints its addresses."""

import asyncio
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from dotenv import dotenv_values

from cli.connection import DEFAULT_DATA_DIR, DataDir, find_connection
from cli.stack import EVERYTHING, Stack, StackState
from cli.stack.state import STATE_FILE
from cli.terminal import CommandError, console, errors_reported, print_line, run

app = typer.Typer()

_SANDBOX_LATENCY_MS: Final = 80
"""About the latency of the real portal, so progress is visible."""


@app.command("up")
def up_command(
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes.")] = 1,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Start the embedded stack and run it until Ctrl-C."""
    with errors_reported():
        run(up(data_dir, workers))


@app.command("env")
def env_command(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Print the addresses and key of the running stack for a shell: `eval "$(autos env)"`."""
    with errors_reported():
        # The names differ from those of settings, which would configure another stack or service.
        for name, value in variables(data_dir).items():
            print_line(f"export {name}={shlex.quote(value)}")


async def up(data_dir: Path, workers: int) -> None:
    """Run the stack until the coroutine is cancelled."""
    console.print("Starting the embedded stack …")
    try:
        async with embedded_stack(data_dir, workers) as stack:
            print_addresses(stack.addresses, data_dir)
            console.print("Ctrl-C stops it; the data is kept.")
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        console.print("Stopped.")


def variables(data_dir: Path) -> dict[str, str]:
    """The shell variables for the running stack.

    Raises:
        CommandError: the stack in this folder is not running.
    """
    state = StackState.load(data_dir)
    if state is None or "api" not in state.addresses:
        raise CommandError(f"No stack has been started in {data_dir}. Start it with `make up`.")
    connection = find_connection(state.addresses["api"], None, data_dir, {})
    exported = {
        "API": f"{connection.url}/api/v1",
        "KEY": connection.key,
        "DOCS": f"{connection.url}/docs",
        "TEMPORAL": state.environment.get("TEMPORAL_ADDRESS"),
        "WEB_UI": state.addresses.get("temporal-ui"),
        "SANDBOX": state.addresses.get("sandbox"),
    }
    return {name: value for name, value in exported.items() if value}


def embedded_stack(data_dir: Path, workers: int = 1) -> Stack:
    """The whole stack; the user's settings override the stack's."""
    return Stack(
        data_dir,
        parts=EVERYTHING,
        workers=workers,
        sandbox_latency_ms=_SANDBOX_LATENCY_MS,
        extra_environment=user_settings(os.environ),
        announce=_announce,
    )


def user_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings in the environment and in the folder's `.env` file; the environment wins."""
    from_file = {
        name: value for name, value in dotenv_values(".env").items() if name.startswith("AUTOS_")
    }
    from_environment = {
        name: value
        for name, value in environment.items()
        if name.startswith(("AUTOS_", "TEMPORAL_")) and value
    }
    # These two configure the command and the stack itself, not its parts.
    command_settings = ("AUTOS_DATA_DIR", "AUTOS_API_KEY")
    merged = {**from_file, **from_environment}
    return {name: value for name, value in merged.items() if value and name not in command_settings}


def print_addresses(addresses: Mapping[str, str], data_dir: Path) -> None:
    """Print the addresses of the stack and the locations of its key and logs."""
    lines = {
        "API": f"{addresses['api']}/docs",
        "Temporal Web UI": addresses.get("temporal-ui", ""),
        "S3": addresses.get("s3", ""),
        "Sandbox (in place of PDPJ)": addresses.get("sandbox", ""),
        "Admin key": f"in {data_dir / STATE_FILE} (`autos env` prints it while the stack runs)",
        "Logs": str(data_dir / "logs"),
    }
    for name, value in lines.items():
        if value:
            print_line(f"  {name:<30}{value}")


def _announce(text: str) -> None:
    print_line(f"  {text}")
