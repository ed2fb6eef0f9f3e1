"""What the judge says when something does not hold."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach: which invariant, of which order, and what was seen, as a sentence."""

    invariant: str  # I1 ... I27
    client_order_id: str | None  # None: it is about no single order
    sentence: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.sentence}"
