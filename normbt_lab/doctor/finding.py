"""One fault of a set-up, in the words a user needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """The run would fail, or its result would be worthless: `normbt train` stops."""
    WARNING = "warning"
    """The run works and may mislead: read it, then decide."""
    NOTE = "note"
    """Taken care of here; other tools need to be told."""


@dataclass(frozen=True)
class Finding:
    """One fault of a set-up.

    Attributes:
        name: What it is called, in tests, JSON and ``docs/pain_points.md``.
        severity: Error, warning or note.
        evidence: What was seen in this set-up, with its numbers.
        cause: Why it does harm.
        fix: What to do.
        link: A public thread of people who met it, or where it is explained; None where there is none.

    Example:
        >>> finding = Finding("pad_token_missing", Severity.ERROR, "no pad token", "no token to pool at", "add one")
        >>> finding.line()
        'pad_token_missing: no pad token. Cause: no token to pool at. Fix: add one.'
    """

    name: str
    severity: Severity
    evidence: str
    cause: str
    fix: str
    link: str | None = None

    def line(self) -> str:
        """The finding in one line, for a log or an error message."""
        return f"{self.name}: {self.evidence}. Cause: {self.cause}. Fix: {self.fix}."

    def to_json(self) -> dict[str, str | None]:
        """The fields under their names."""
        return {**asdict(self), "severity": self.severity.value}


@dataclass(frozen=True)
class Fault:
    """What is known of a fault before anyone meets it: a `Finding` without its evidence.

    Attributes:
        name: As in `Finding`, like all that follows.
        severity: The same.
        cause: The same.
        fix: The same.
        link: The same.

    Example:
        >>> fault = Fault("pad_token_missing", Severity.ERROR, "no token to pool at", "add one")
        >>> fault.found("no pad token").line()
        'pad_token_missing: no pad token. Cause: no token to pool at. Fix: add one.'
    """

    name: str
    severity: Severity
    cause: str
    fix: str
    link: str | None = None

    def found(self, evidence: str, severity: Severity | None = None) -> Finding:
        """The fault as it was met.

        Args:
            evidence: What was seen in this set-up, with its numbers.
            severity: Where it matters more or less than it usually does.
        """
        return Finding(self.name, severity or self.severity, evidence, self.cause, self.fix, self.link)
