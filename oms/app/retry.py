"""What `submit --retry BATCH` records: the rows of a batch that have ended without an order, under new ids.

A retry is a batch of its own whose key follows from the first one's key and its number, so that asking twice, or
crashing in between, never makes two retries of one row (P2). The retry of a retry is the next one of the first batch:
whoever has only its rows and an empty ledger can then tell every retry of them that the exchange shows.
"""

import hashlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from oms.errors import InputError
from oms.intake import ids
from oms.intake.intents import Intent
from oms.ledger import listing
from oms.ledger.ledger import Ledger
from oms.ledger.record import NewBatch
from oms.ledger.strangers import has_retry


@dataclass(frozen=True, slots=True)
class Retry:
    """Either a new batch to record, or the batch of the chain that is still to be driven on."""

    current: int  # key of the newest batch of the chain
    new: NewBatch | None
    intents: Iterator[Intent]


def next_retry(ledger: Ledger, name: str, ttl_us: int | None) -> Retry:
    """The next retry of a batch. Raises UnknownOrder, and InputError when nothing of it can be retried."""
    named = listing.batch_named(ledger, name)._mapping
    root = bytes.fromhex(named["retry_of"] or named["batch_key"])
    first = listing.batch_of_key(ledger, root.hex())
    number, current = 0, named if first is None else first._mapping
    # A number that a lost ledger has used is passed over: its rows may have been others.
    while (later := listing.batch_of_key(ledger, ids.key_of_retry(root, number + 1).hex())) is not None or has_retry(
        ledger, root, number + 1
    ):
        number, current = number + 1, current if later is None else later._mapping
    current_key = int(current["key"])
    if any(listing.unfinished_of(ledger, (current_key,))):
        return Retry(current_key, None, iter(()))
    if number == ids.MAX_RETRIES:
        raise InputError(f"batch {name!r} was retried {number} times", hint="submit what is left of it as a new batch")
    key = ids.key_of_retry(root, number + 1)
    digest, count = _survey(ledger, current_key)
    if not count:
        raise InputError(
            f"nothing of batch {name!r} is left to retry: none of it is rejected or unsent",
            hint=f"`oms orders --batch {shlex.quote(name)}` shows where each order stands",
        )
    new = NewBatch(
        key=key,
        name=f"{first.name}~{number + 1}" if first is not None and first.name else None,
        source="retry",
        content_digest=digest,
        row_count=count,
        may_share_rows=True,
        ttl_us=ttl_us,
        retry_of=root,
    )
    return Retry(current_key, new, _intents(ledger, current_key, key))


def _survey(ledger: Ledger, batch_key: int) -> tuple[bytes, int]:
    digest, count = hashlib.sha256(b"oms retry v1\n"), 0
    for row in listing.retryable_rows(ledger, batch_key):
        digest.update(str(row._mapping["client_order_id"]).encode() + b"\n")
        count += 1
    return digest.digest(), count


def _intents(ledger: Ledger, batch_key: int, key: bytes) -> Iterator[Intent]:
    for number, row in enumerate(listing.retryable_rows(ledger, batch_key), 1):
        yield ids.assign(listing.intent_of(row), key, number)
