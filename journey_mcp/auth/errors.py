"""Why a token is not accepted. No message repeats the token."""


class InvalidToken(Exception):
    """The token is not, or no longer, valid. The message is for the client: ASCII without quotes."""


class CannotVerify(Exception):
    """Whether the token is valid cannot be found out now. The message is for the client."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
