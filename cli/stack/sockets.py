"""Which process listens on a port: the proof that an answer comes from a part of our own.

A port tells nothing about who answers there. Before the stack asks a part anything, and before the
command sends the stack's own key, the listening socket must belong to the process that the stack
started, or to a child of it.
"""

import psutil  # type: ignore[import-untyped]


def listens(pid: int, ports: set[int]) -> bool:
    """Whether the process `pid` or its children hold a listening socket on each of `ports`.

    False where the process is gone, or where the system does not say.
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
        # A child that ended while it was looked at: the next look finds the rest.
        return False
    return ports <= held
