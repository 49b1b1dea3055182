"""The embedded stack: every server that Autos needs, and Autos itself, on one machine."""

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
