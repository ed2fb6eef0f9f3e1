"""From what a caller brings to a recorded batch: surveys, keys, previews. The one place that draws random ids."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from oms.errors import InputError
from oms.intake import batches, ids
from oms.intake.batches import Survey
from oms.intake.dialects import validate
from oms.intake.intents import Intent
from oms.intake.readers import Format, Row, format_of, object_rows, read_rows, sniff
from oms.ledger.groups import names
from oms.ledger.ledger import Ledger
from oms.ledger.record import NewBatch
from oms.units import format_count, format_dollars

Rows = Callable[[], Iterator[Row]]


@dataclass(frozen=True, slots=True)
class Offer:
    """Rows that can be read twice, surveyed, with the key they would be recorded under."""

    rows: Rows
    survey: Survey
    key: bytes
    name: str | None
    source: str
    groups: Mapping[str, str] = field(default_factory=dict)

    def batch(self, ttl_us: int | None) -> NewBatch:
        return NewBatch(
            key=self.key,
            name=ids.check_name(self.name) if self.name is not None else None,
            source=self.source,
            content_digest=self.survey.content_digest,
            row_count=self.survey.count,
            may_share_rows=self.name is not None or self.source in ("flags", "api", "retry"),
            ttl_us=ttl_us,
        )

    def intents(self) -> Iterator[Intent]:
        return batches.intents(self.rows(), self.key, self.survey, self.groups)


@dataclass(frozen=True, slots=True)
class Grouping:
    """The order groups that rows may name, and the one of those that name none."""

    groups: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None

    def of(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The rows, the default group in those without one."""
        return rows if self.default is None else map(self._with_default, rows)

    def _with_default(self, row: Row) -> Row:
        line, fields = row
        if not isinstance(fields, Mapping) or fields.get("order_group"):
            return row
        return line, {**fields, "order_group": self.default}


UNGROUPED = Grouping()


class GroupsWhenAsked(Mapping[str, str]):
    """The ledger's order groups, read when the first row names one; none where there is no ledger."""

    def __init__(self, ledger: Callable[[], Ledger | None]) -> None:
        self._ledger = ledger
        self._names: dict[str, str] | None = None

    def _known(self) -> dict[str, str]:
        if self._names is None:
            ledger = self._ledger()
            self._names = {} if ledger is None else names(ledger)
        return self._names

    def __getitem__(self, name: str) -> str:
        return self._known()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())


def offer_objects(
    orders: Iterable[object], name: str | None, source: str, now_us: int, grouping: Grouping = UNGROUPED
) -> Offer:
    """Rows given as mappings. Without a name they are a new intent each time, unless all bring their own ids."""
    # They are in memory already: each is looked at once, not in each of the two passes.
    given: list[Row] = [
        (line, validate(row, line, groups=grouping.groups) if isinstance(row, Mapping) else row)
        for line, row in grouping.of(object_rows(orders))
    ]

    def rows() -> Iterator[Row]:
        return iter(given)

    survey = batches.survey(rows(), now_us, grouping.groups)
    survey.check(new=False)
    is_own = survey.own_ids == survey.count
    key = survey.key(name) if name is not None or is_own else ids.key_of_nonce(os.urandom(16))
    return Offer(rows, survey, key, name, source, grouping.groups)


@contextmanager
def offer_file(
    path: Path | None, stdin: BinaryIO | None, name: str | None, now_us: int, grouping: Grouping = UNGROUPED
) -> Iterator[Offer]:
    """Rows of a file, or of standard input spooled to a private file, because a batch is read twice."""
    if path is None:
        assert stdin is not None
        with _spooled(stdin) as spool:
            yield _offer_stream(spool, sniff(spool), name, "stdin", now_us, grouping)
        return
    try:
        stream = path.open("rb")
    except OSError as exc:
        raise InputError(f"{path} cannot be read: {exc.strerror}", hint="name a file that this user can read") from exc
    with stream:
        yield _offer_stream(stream, format_of(path.name), name, "file", now_us, grouping)


def _offer_stream(
    stream: BinaryIO, form: Format, name: str | None, source: str, now_us: int, grouping: Grouping
) -> Offer:
    def rows() -> Iterator[Row]:
        stream.seek(0)
        return grouping.of(iter(read_rows(stream, form)))

    survey = batches.survey(rows(), now_us, grouping.groups)
    survey.check(new=False)
    return Offer(rows, survey, survey.key(name), name, source, grouping.groups)


@contextmanager
def _spooled(stdin: BinaryIO) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as spool:  # mode 0600, without a name
        while chunk := stdin.read(1 << 20):
            spool.write(chunk)
        spool.seek(0)
        yield spool


def previews(offer: Offer) -> Iterator[dict[str, Any]]:
    """The normalized rows with the ids they would have."""
    for row, intent in enumerate(offer.intents(), 1):
        yield {
            "client_order_id": intent.client_order_id,
            "batch": offer.name or offer.key.hex()[:16],
            "row": row,
            "ticker": intent.ticker,
            "side": intent.side.value,
            "price": format_dollars(intent.price_e6),
            "action": intent.action.value,
            "outcome": intent.outcome.value,
            "outcome_price": format_dollars(intent.outcome_price_e6),
            "count": format_count(intent.count_e2),
            "time_in_force": intent.time_in_force.value,
            "self_trade_prevention_type": intent.self_trade_prevention_type.value,
            "post_only": intent.post_only,
            "reduce_only": intent.reduce_only,
            "expiration_time": intent.expiration_time,
            "subaccount": intent.subaccount,
            "order_group_id": intent.order_group_id,
            "tag": intent.tag,
        }
