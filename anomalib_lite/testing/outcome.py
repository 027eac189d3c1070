"""What one check said."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What one check said of a detector."""

    check: str
    failure: str | None = None  # why it failed
    known: str | None = None  # why it is expected to fail
    blocked: str | None = None  # the failed check without which it was not run

    @property
    def is_fine(self) -> bool:
        """Whether the check passed, or was not run; one that is expected to fail has to fail."""
        return self.blocked is not None or (self.failure is None) == (self.known is None)

    def __str__(self) -> str:
        if self.blocked:
            return f"{self.check}: not run, {self.blocked} comes first"
        if self.failure is None:
            return f"{self.check}: " + ("passed" if self.known is None else f"passes, expected to fail: {self.known}")
        return f"{self.check}: {self.failure}" + (f" (known: {self.known})" if self.known else "")
