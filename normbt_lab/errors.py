"""What a user can be told in one line: the cause and the fix.

Everything else that escapes is a defect of this package and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class NormBTError(Exception):
    """A failure whose message is for the user: what was expected, what came, a likely cause, and the fix.

    The command line prints the message without a traceback and exits with 1.

    Example:
        >>> raise NormBTError("pairs.jsonl has no good row: 3 of 3 lack 'rejected'. Rename the column.")
        Traceback (most recent call last):
        ...
        normbt_lab.errors.NormBTError: pairs.jsonl has no good row: 3 of 3 lack 'rejected'. Rename the column.
    """


class UsageError(NormBTError):
    """Wrong use of a command or an argument; the command line exits with 2."""


class NotFiniteError(NormBTError):
    """Training has left the numbers: an infinity or NaN in loss, gradients, parameters or distances.

    Attributes:
        pairs: Numbers of the step's pairs in the training data; empty where they are not known.
    """

    def __init__(self, message: str, pairs: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.pairs = pairs
