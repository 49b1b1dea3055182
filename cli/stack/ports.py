"""Chooses the TCP ports of the parts, and finds out which process listens on a port.

A port is checked, not reserved: if another program takes it before the part has started, the start
of the part fails.
"""

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

import psutil  # type: ignore[import-untyped]

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
    previous: Mapping[str, int],
    choice: PortChoice,
    announce: Callable[[str], None],
) -> dict[str, int]:
    """Choose a port for each part: the port of the previous start if it is free, else another."""
    chosen: dict[str, int] = {}
    for name in names:
        preferred = previous.get(name) or (DEFAULT_PORTS[name] if choice == "default" else 0)
        others = set(chosen.values()) | {previous[other] for other in previous if other != name}
        if preferred and preferred not in chosen.values() and is_free(preferred):
            chosen[name] = preferred
            continue
        start = preferred + 1 if choice == "default" else 0
        chosen[name] = _next_free(start, others)
        if preferred:
            announce(f"Port {preferred} is in use; {name} listens on {chosen[name]} this time.")
    return chosen


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        # The servers use this option too: a port in TIME_WAIT after a restart counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listens(pid: int, ports: Iterable[int]) -> bool:
    """Whether the process `pid` and its children listen on all of `ports`.

    Called before a request is sent to a part, or a key to the API, because another program may
    listen on that port. False if the process has ended or the system denies the information.
    """
    listening: set[int] = set()
    try:
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            listening |= {
                connection.laddr.port
                for connection in member.net_connections(kind="tcp")
                if connection.status == psutil.CONN_LISTEN
            }
    except psutil.Error:
        # A child ended during the check; callers that wait check again.
        return False
    return listening.issuperset(ports)


def _next_free(start: int, taken: set[int]) -> int:
    """The first free port from `start` that is not in `taken`; any free port if `start` is 0."""
    if start:
        return next(port for port in range(start, 65_536) if port not in taken and is_free(port))
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port
