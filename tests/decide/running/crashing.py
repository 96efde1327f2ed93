"""What outlives a crash of the operator, the record in the text form of status, and the moments of the crashes.

A process may die before a record is written, after it, and wherever else a world says `_may_crash`.
"""

from __future__ import annotations

from dataclasses import dataclass

from milvus_tuning.api import OperationStatus
from milvus_tuning.plan import Operation
from milvus_tuning.status.records import operation_from_status, operation_to_status


class Crash(Exception):
    """The process dies here."""


@dataclass(kw_only=True)
class Recorded:
    """The record of an operation; `moment` counts the moments so far, `crashes` are those at which the process dies."""

    record: OperationStatus
    crashes: frozenset[int] = frozenset()
    moment: int = 0

    def _write(self, operation: Operation) -> Operation:
        """Put it on record; what the next process would read."""
        self._may_crash()
        self.record = operation_to_status(operation)
        self._may_crash()
        return operation_from_status(self.record)

    def _may_crash(self) -> None:
        self.moment += 1
        if self.moment in self.crashes:
            raise Crash
