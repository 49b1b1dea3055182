"""`autos env`: the addresses and the key of the embedded stack, for a shell to take over.

It prints lines for `eval`, for a stack that runs. The names are none of the settings', so that the
same shell can still start a stack or another service.
"""

import shlex
from pathlib import Path

from cli.connection import find_connection
from cli.errors import CommandError
from cli.stack.state import StackState
from cli.terminal import say


def env(data_dir: Path) -> int:
    """Print the lines; returns the exit code.

    Raises:
        CommandError: the stack of this folder does not run.
    """
    state = StackState.load(data_dir)
    if state is None or "api" not in state.addresses:
        raise CommandError(f"No stack was ever started in {data_dir}. Start it with `make up`.")
    connection = find_connection(state.addresses["api"], None, data_dir, {})
    values = {
        "API": f"{connection.url}/api/v1",
        "KEY": connection.key,
        "DOCS": f"{connection.url}/docs",
        "TEMPORAL": state.environment.get("TEMPORAL_ADDRESS"),
        "WEB_UI": state.addresses.get("temporal-ui"),
        "SANDBOX": state.addresses.get("sandbox"),
    }
    for name, value in values.items():
        if value:
            say(f"export {name}={shlex.quote(value)}")
    return 0
