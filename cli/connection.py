"""Where the API is and by which key it is asked: by options, environment or `stack.json`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CommandError
from cli.stack.state import StackState, part_listens


@dataclass(frozen=True, slots=True)
class Connection:
    """The address of an API and a key for it."""

    url: str
    key: str


def find_connection(
    url: str | None,
    key: str | None,
    data_dir: Path,
    environment: Mapping[str, str] = os.environ,
) -> Connection:
    """Put the connection together from what is said where.

    The key of the embedded stack is used with the stack's own API only, while that is what listens
    there: it must not travel to another service, named by a person or met on the stack's port.

    Raises:
        CommandError: no address, or no key for it.
    """
    url = url or environment.get("AUTOS_API_URL") or None
    key = key or environment.get("AUTOS_API_KEY") or None
    state = StackState.load(data_dir)
    own_url = state.addresses.get("api") if state else None
    if url is None:
        url = own_url
    if url is None:
        raise CommandError(
            f"No address of the API is known: nothing was ever started in {data_dir}. Start it "
            "with `make up`, or name one with --url or AUTOS_API_URL."
        )
    if key is None and state is not None and url.rstrip("/") == own_url:
        if not part_listens(data_dir, "api", state.ports["api"]):
            raise CommandError(
                f"The embedded stack of {data_dir} is not running, and its key is sent to its own "
                "API only. Start it with `make up`, or give a key with --key or AUTOS_API_KEY."
            )
        key = state.environment.get("AUTOS_ADMIN_KEY")
    if key is None:
        raise CommandError(f"No key for {url} is known: give one with --key or AUTOS_API_KEY.")
    return Connection(url.rstrip("/"), key)
