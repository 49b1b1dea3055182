"""Finds the API's URL and key in the options, the environment or the embedded stack."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.stack.state import StackState, part_listens
from cli.terminal import CommandError

DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="AUTOS_DATA_DIR", help="The embedded stack's folder.")
]
Url = Annotated[str | None, typer.Option("--url", help="Address of the API [AUTOS_API_URL].")]
Key = Annotated[str | None, typer.Option("--key", help="Key for the API [AUTOS_API_KEY].")]

DEFAULT_DATA_DIR: Final = Path(".autos")


@dataclass(frozen=True, slots=True)
class Connection:
    """The URL of an API and a key for it."""

    url: str
    key: str


def find_connection(
    url: str | None,
    key: str | None,
    data_dir: Path,
    environment: Mapping[str, str] = os.environ,
) -> Connection:
    """Find the URL and the key: options first, then the environment, then the embedded stack.

    The embedded stack's key is sent only to the stack's API, and only while that API listens on
    its port. Another program that listens on the same port never receives the key.

    Raises:
        CommandError: there is no URL, or no key for it.
    """
    url = url or environment.get("AUTOS_API_URL") or None
    key = key or environment.get("AUTOS_API_KEY") or None
    state = StackState.load(data_dir)
    stack_url = state.addresses.get("api") if state else None
    url = url or stack_url
    if url is None:
        raise CommandError(
            f"The address of the API is not known: no stack has been started in {data_dir}. Start "
            "one with `make up`, or give an address with --url or AUTOS_API_URL."
        )
    if key is None and state is not None and url.rstrip("/") == stack_url:
        if not part_listens(data_dir, "api", state.ports["api"]):
            raise CommandError(
                f"The embedded stack in {data_dir} is not running, and its key is sent only "
                "to the stack's API. Start it with `make up`, or give a key with --key or "
                "AUTOS_API_KEY."
            )
        key = state.environment.get("AUTOS_ADMIN_KEY")
    if key is None:
        raise CommandError(f"No key for {url}: give one with --key or AUTOS_API_KEY.")
    return Connection(url.rstrip("/"), key)
