"""What a caller is asked before orders go out in prod; the words of the question are the command line's."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preview:
    """What is about to be recorded, for a question."""

    count: int
    cost: str  # dollars, the most it can cost without fees
    environment: str
    batch: str


@dataclass(frozen=True, slots=True)
class ResumePrompt:
    """What is about to be sent from an earlier run, for a question."""

    count: int
    oldest_age_s: int
    environment: str
