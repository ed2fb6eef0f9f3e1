"""client_order_ids and batch keys, derived so that the same rows always get the same ids. PURE. Keeps P2 and P6.

An id is a UUID of version 8 (RFC 9562). Its 122 free bits, in the order in which they sort:

    mark 16 | batch digest 56 | row 26 | check 24

The mark says that oms made it; the batch digest is the head of the batch key; the row is the ordinal of the row,
counted from 1 (blank lines do not count); the check is the head of SHA-256(batch key, row, normalized row). So a re-run
of the same file, even against an empty ledger, meets the exchange's own duplicate check instead of placing again, and
the ids of one batch are neighbors in every index.

A change of anything here changes ids that are already at the exchange: the golden vectors of the tests must hold for
ever. Whoever needs another normalization adds a version beside "v1".
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from oms.errors import InputError
from oms.intake.intents import Intent
from oms.intake.wording import shown

__all__ = [
    "MARK",
    "MAX_RETRIES",
    "MAX_ROWS",
    "assign",
    "batch_digest",
    "batch_head",
    "check_name",
    "derive",
    "is_ours",
    "key_of_content",
    "key_of_name",
    "key_of_nonce",
    "key_of_retry",
    "normalized",
    "parse_id",
    "row_digest",
    "rows_of_retry",
]

MARK = 0x6F6D  # "om"
MAX_ROWS = 2**26 - 1
# Of one batch; so many have to be looked for at the exchange when a ledger was lost.
MAX_RETRIES = 64
MAX_NAME = 100

_ID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-8([0-9a-f]{3})-([89ab][0-9a-f]{3})-([0-9a-f]{12})", re.ASCII)
_VARIANT = 0b10 << 62


def normalized(intent: Intent) -> str:
    """The wire fields of an intent as one canonical text (version 1).

    What does not reach the exchange (tag, submit_before, the words in which it was entered) is not part of it. No
    subaccount and subaccount 0 are the same account. An order group is a component that is there only where the row
    names one. No component can contain the separator.
    """
    own = intent.client_order_id if intent.own_id else ""
    expires = "" if intent.expiration_time is None else intent.expiration_time
    group = () if intent.order_group_id is None else (f"group={intent.order_group_id}",)
    return "|".join(
        (
            "v1",
            intent.ticker,
            intent.side,
            f"{intent.price_e6}|{intent.count_e2}",
            intent.time_in_force,
            intent.self_trade_prevention_type,
            f"{intent.post_only:d}|{intent.reduce_only:d}|{expires}|{intent.subaccount or 0}",
            own,
            *group,
        )
    )


def row_digest(intent: Intent) -> bytes:
    """Eight bytes of SHA-256 of the normalized row without its number: the same for equal rows of two batches."""
    return hashlib.sha256(normalized(intent).encode()).digest()[:8]


def check_name(name: str) -> str:
    """A batch name as it is stored (NFC, so that one name typed on two systems is one batch); InputError if unfit."""
    text = unicodedata.normalize("NFC", name)
    if not 0 < len(text) <= MAX_NAME or not text.isprintable() or text != text.strip():
        raise InputError(
            f"batch name {shown(name)} cannot be used",
            hint=f"use 1 to {MAX_NAME} printable characters without blanks at the ends",
        )
    return text


def key_of_name(name: str) -> bytes:
    """The key of a batch that has a name, 32 bytes. Raises InputError for an unfit name."""
    return _key("name", check_name(name).encode())


def key_of_content(content_digest: bytes) -> bytes:
    """The key of a file or stream without a name, from the digest over all its rows, 32 bytes."""
    return _key("rows", content_digest)


def key_of_nonce(nonce: bytes) -> bytes:
    """The key of a new intent without a name (flags, Python), from fresh random bytes of the caller, 32 bytes."""
    assert len(nonce) >= 16, "a nonce below 128 bits could repeat"
    return _key("new", nonce)


def key_of_retry(key: bytes, attempt: int) -> bytes:
    """The key of retry number `attempt` (from 1) of a batch: new ids, the same ones on a re-run, 32 bytes."""
    return _key("retry", key + attempt.to_bytes(4, "big"))


def _key(kind: str, content: bytes) -> bytes:
    return hashlib.sha256(b"oms batch v1 " + kind.encode() + b":" + content).digest()


def batch_digest(key: bytes) -> int:
    """The 56 bits of a batch key that its ids carry."""
    return int.from_bytes(key[:7], "big")


def derive(key: bytes, row: int, text: str) -> str:
    """The client_order_id of row `row` (from 1) with normalized text `text` in the batch of `key`."""
    assert 0 < row <= MAX_ROWS, row
    check = hashlib.sha256(key + row.to_bytes(4, "big") + text.encode()).digest()
    head, tail = _frame(key)
    low = f"{tail | row << 24 | int.from_bytes(check[:3], 'big'):016x}"
    return f"{head}-{low[:4]}-{low[4:]}"


@lru_cache(maxsize=256)
def _frame(key: bytes) -> tuple[str, int]:
    """What all ids of a batch share: the text of the first 64 bits, the number in the last 64."""
    digest = batch_digest(key)
    high = f"{MARK << 32 | digest >> 24:012x}"
    return f"{high[:8]}-{high[8:]}-8{digest >> 12 & 0xFFF:03x}", _VARIANT | (digest & 0xFFF) << 50


def assign(intent: Intent, key: bytes, row: int, text: str | None = None) -> Intent:
    """The intent with its client_order_id: the caller's own if there is one, else derived from key, row and content.

    `text` is the normalized row, where the caller has it already.
    """
    if intent.own_id:
        return intent
    return Intent(
        derive(key, row, normalized(intent) if text is None else text),
        intent.ticker,
        intent.side,
        intent.price_e6,
        intent.count_e2,
        intent.time_in_force,
        intent.self_trade_prevention_type,
        intent.post_only,
        intent.reduce_only,
        intent.expiration_time,
        intent.subaccount,
        intent.action,
        intent.outcome,
        False,
        intent.tag,
        intent.submit_before_us,
        intent.order_group_id,
    )


def parse_id(client_order_id: str) -> tuple[int, int] | None:
    """Batch digest (56 bits) and row of an id that oms derived; None for any other text."""
    match = _ID.fullmatch(client_order_id)
    if match is None:
        return None
    high, low = int(match[1] + match[2], 16), int(match[4] + match[5], 16)
    if high >> 32 != MARK:
        return None
    digest = (high & 0xFFFF_FFFF) << 24 | int(match[3], 16) << 12 | low >> 50 & 0xFFF
    row = low >> 24 & MAX_ROWS
    return (digest, row) if row else None


def batch_head(client_order_id: str) -> str | None:
    """The first 14 hex digits of the batch key that an id was derived from; None for any other text."""
    parsed = parse_id(client_order_id)
    return None if parsed is None else f"{parsed[0]:014x}"


def rows_of_retry(key: bytes, seen: Iterable[str], rows: Mapping[str, str]) -> dict[str, str]:
    """Of which rows the orders of a retry are: by the id of the row, the client_order_id in `seen` it was sent under.

    `key` is the retry's, `rows` the candidates' normalized texts by their ids, in order. The row numbers of a retry
    count what was left of its batch, so that its own number says nothing; the check in its id does. Equal rows are
    given away in order, each once.
    """
    free: dict[str, list[str]] = {}
    for row_id, text in rows.items():
        free.setdefault(text, []).append(row_id)
    found: dict[str, str] = {}
    texts, next_one = list(free), 0
    for client_order_id in sorted(seen):  # in the order of their rows, which is that of the batch: rarely a long search
        parsed = parse_id(client_order_id)
        number = parsed[1] if parsed is not None else 0
        for place in (*range(next_one, len(texts)), *range(next_one)):
            row_ids = free[texts[place]]
            if row_ids and number and derive(key, number, texts[place]) == client_order_id:
                found[row_ids.pop(0)] = client_order_id
                next_one = place
                break
    return found


def is_ours(client_order_id: str) -> bool:
    """Whether oms derived this id: by mark, version and variant."""
    return parse_id(client_order_id) is not None
