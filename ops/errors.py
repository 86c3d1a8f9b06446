"""What a command says, in one line, when it cannot do what was asked."""


class CommandFailed(Exception):
    """Print the message as it is and stop with `status`; never a traceback."""

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
