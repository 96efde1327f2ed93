"""The one error of the load client."""


class LoadError(Exception):
    """The load cannot be made: says what was tried and what came back."""
