"""How a command ends when it does not end well: a sentence for the person, and an exit code."""

from typing import Final

FAILED: Final = 1
USAGE: Final = 2
WITH_FAILURES: Final = 3
INTERRUPTED: Final = 130


class CommandError(RuntimeError):
    """The command ends here. The message says what happened and what to do next."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
