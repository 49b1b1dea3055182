"""What can go wrong with the embedded stack. Every message says what happened and what to do."""


class StackError(RuntimeError):
    """The stack cannot do what was asked; the message is meant for the person at the terminal."""


class AlreadyRunning(StackError):
    """Another process runs the stack on the same data folder."""
