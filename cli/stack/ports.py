"""Which TCP ports the parts of the stack listen on: the kept ones, else the usual, else free ones.

A port is only looked at, not held: between the look and the part's start somebody else can take
it, and then the part's own start fails and says so.
"""

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

PortChoice = Literal["default", "free"]

HOST: Final = "127.0.0.1"
DEFAULT_PORTS: Final[Mapping[str, int]] = {
    "api": 8000,
    "temporal": 7233,
    "temporal-ui": 8233,
    "s3": 9000,
    "sandbox": 8700,
    "postgres": 5433,
}


def choose(
    names: Iterable[str],
    kept: Mapping[str, int],
    choice: PortChoice,
    announce: Callable[[str], None],
) -> dict[str, int]:
    """A port for each name: the kept one where it is still free, so that addresses stay."""
    chosen: dict[str, int] = {}
    for name in names:
        wanted = kept.get(name) or (DEFAULT_PORTS[name] if choice == "default" else 0)
        others = set(chosen.values()) | {kept[other] for other in kept if other != name}
        if wanted and wanted not in chosen.values() and is_free(wanted):
            chosen[name] = wanted
            continue
        start = wanted + 1 if choice == "default" else 0
        chosen[name] = _next_free(start, others)
        if wanted:
            announce(f"Port {wanted} is in use; {name} listens on {chosen[name]} this time.")
    return chosen


def is_free(port: int) -> bool:
    """Whether a server of ours could listen on it now."""
    with socket.socket() as probe:
        # As the servers do: a port in TIME_WAIT after a restart counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _next_free(start: int, taken: set[int]) -> int:
    """The first free port from `start` on that is not spoken for; any at all with `start` 0."""
    if start:
        return next(port for port in range(start, 65_536) if port not in taken and is_free(port))
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port
