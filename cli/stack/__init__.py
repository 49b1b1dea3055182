"""The embedded stack: Autos and every server that it needs, on one machine."""

from cli.stack.state import AlreadyRunning, StackError, StackState, is_running
from cli.stack.supervisor import EVERYTHING, SERVERS, Stack

__all__ = [
    "EVERYTHING",
    "SERVERS",
    "AlreadyRunning",
    "Stack",
    "StackError",
    "StackState",
    "is_running",
]
