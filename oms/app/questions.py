"""What a caller is asked before orders go out in prod; the words of the question are the command line's."""

from dataclasses import dataclass

from oms.ledger import listing
from oms.ledger.ledger import Ledger


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


# What was recorded longer ago may have been forgotten: it is named before it is sent (design 5).
_STALE_US = 15 * 60 * 1_000_000


def stale(ledger: Ledger, batch_key: int | None, environment: str, now_us: int) -> ResumePrompt | None:
    """What to ask before old queued orders are sent, of one batch or (None) of all; None where nothing is old."""
    oldest_us = listing.oldest_queued_us(ledger, batch_key)
    if oldest_us is None or now_us - oldest_us < _STALE_US:
        return None
    count = listing.unfinished_of(ledger, None if batch_key is None else (batch_key,))[0]
    return ResumePrompt(count=count, oldest_age_s=(now_us - oldest_us) // 1_000_000, environment=environment)
