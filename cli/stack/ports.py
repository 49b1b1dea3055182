"""Which TCP ports the parts listen on, and which process listens on a port.

A port is checked, not reserved: if another program takes it before the part has started, the
part's start fails with an error.
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
    kept: Mapping[str, int],
    choice: PortChoice,
    announce: Callable[[str], None],
) -> dict[str, int]:
    """Choose a port for each name: the one of the previous start if it is free, else another."""
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
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        # As the servers do: a port in TIME_WAIT after a restart counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listens(pid: int, ports: Iterable[int]) -> bool:
    """Whether the process `pid` or its children listen on every one of `ports`.

    Checked before a request is sent to a part, or a key to the API: another program may listen on
    that port. False if the process is gone or the system does not give the information.
    """
    held: set[int] = set()
    try:
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            held |= {
                connection.laddr.port
                for connection in member.net_connections(kind="tcp")
                if connection.status == psutil.CONN_LISTEN
            }
    except psutil.Error:
        # A child ended during the check; callers that wait check again.
        return False
    return held.issuperset(ports)


def _next_free(start: int, taken: set[int]) -> int:
    """The first free port from `start` on that is not in `taken`; any free one if `start` is 0."""
    if start:
        return next(port for port in range(start, 65_536) if port not in taken and is_free(port))
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port
