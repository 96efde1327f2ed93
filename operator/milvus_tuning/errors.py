"""The errors of the operator. Each says what was tried, on what, and what to do; handlers.py knows kopf's."""


class ObserveError(Exception):
    """Something could not be read. Nothing is changed; the next pass tries again."""


class ApplyError(Exception):
    """A write did not go through.

    retryable tells whether the same write may be tried again (a conflict, a timeout: read back first) or is refused for
    good.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class Conflict(ApplyError):
    """The object was changed by somebody else between reading and writing."""


class ConfigError(Exception):
    """The user must act: a reference that leads nowhere, a value that cannot be."""
