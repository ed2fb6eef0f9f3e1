"""Passes over the exchange: recognize what is there, prove what is not, bring what lives up to date (design 5).

Each pass is gather, compare, append; a pass that could not read everything raises ReadFailed after having recorded
what it did see, and concludes nothing from what it did not. Whoever calls it holds the writer lock and an epoch (P5).
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from oms import compare
from oms.compare import Policy
from oms.errors import LedgerForeign, ReadFailed
from oms.intake import ids
from oms.ledger import account, externals, listing, queries, seconds, strangers
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.ledger.schema import CANCEL_ALL_TAIL
from oms.ledger.strangers import Stranger
from oms.ledger.withdrawal import withdraw_retries
from oms.lifecycle import events as e
from oms.lifecycle.events import Snapshot
from oms.lifecycle.states import CommandKind, CommandState, OrderStatus, Resend
from oms.reconciler import apply, books
from oms.reconciler.doubles import duplicate_breaks
from oms.reconciler.gather import Scan
from oms.records import BreakRecord
from oms.venue.door import Venue

HISTORY_CUTOFF = "history_cutoff"  # watermark: the historical list ended there (exchange time)
_HOUR_US = 3_600_000_000
# Up to so many orders are looked up one by one before a listing is cheaper.
_SINGLE_READS = 20
# Up to so many resting orders are asked for instead of listing all that rests.
_FEW = 2
_CHUNK = 500
# How far back a scan goes for one order that must be in it: the exchange keeps orders in its live list for months.
_WITNESS_REACH_MS = 30 * 86_400_000


@dataclass(slots=True)
class Findings:
    """What passes have learned so far; counts are of orders and commands."""

    found: int = 0
    absent: int = 0
    requeued: int = 0
    late: int = 0
    updated: int = 0
    fills: int = 0
    external: int = 0
    external_fills: int = 0
    settlements: int = 0
    resolved: int = 0
    unseen: set[str] = field(default_factory=set)  # sent with another key, of which this one may not see the orders
    retried: int = 0  # queued rows that a lost ledger's retry had placed under another id
    needless: int = 0  # queued retries of orders that turned out to be there after all
    preplaced: int = 0  # queued orders that turned out to be at the exchange already
    # Creation of the newest order at the exchange that oms must have sent, but not from this ledger as it is.
    newest_surprise_ms: int | None = None
    breaks: dict[tuple[str | None, ...], BreakRecord] = field(default_factory=dict)

    def report(self, breaks: Iterable[BreakRecord]) -> None:
        for record in breaks:
            self.breaks[(record.kind, record.client_order_id, record.order_id, record.ticker)] = record


@dataclass(frozen=True, slots=True)
class Settings:
    """How passes decide."""

    horizon_ms: int
    resend: Resend
    now_us: Callable[[], int]
    key_print: str | None = None  # of the key in use now


class Reconciler:
    """The passes over one ledger and one account."""

    def __init__(self, ledger: Ledger, venue: Venue, settings: Settings) -> None:
        self.ledger = ledger
        self.venue = venue
        self.settings = settings
        self.findings = Findings()
        self._held_back: dict[str, int] = {}  # of the last reading of the account: see AccountRead
        self._newest_batch = 0
        self._external: set[str] = set()  # order_ids: several readings see the same ones

    # -- orders ---------------------------------------------------------------------------------------------------

    def read_account(self) -> Scan:
        """Read the account's orders since the last complete reading (all of them, the first time).

        Every order under an id of this ledger is recognized, whatever state it has here: a queued one is not sent
        again, a concluded one that turned up is `late`. Raises ReadFailed. The reading counts as done only once
        `note_account_read` is called: until then, whatever ends this run, the next one has to read it all again.
        """
        self._newest_batch = queries.newest_batch(self.ledger)
        self._held_back = queries.strange_queued(self.ledger)
        since = queries.watermark(self.ledger)
        if since is not None:
            since = min([since, *self._held_back.values()]) - self.settings.horizon_ms
        scan = self._scan(since, known_cutoff_ms=self._known_cutoff_ms())
        if scan.cutoff_ms is not None:
            account.note_watermark(self.ledger, HISTORY_CUTOFF, scan.cutoff_ms, self.settings.now_us())
        witnesses = self._witnesses(scan)
        missing = compare.missing_witnesses(witnesses, scan.view())
        if missing and scan.order_ids.isdisjoint(witnesses):
            raise ReadFailed(
                f"the exchange shows none of the {len(missing)} orders it has taken from this ledger",
                hint="check the API key: it may belong to another account, or see less than the one that sent them",
            )
        self._bind_retries()
        return scan

    def _known_cutoff_ms(self) -> int | None:
        """Where the historical list ends, if that was asked for within the hour."""
        noted = queries.noted(self.ledger, HISTORY_CUTOFF)
        if noted is None or not 0 <= self.settings.now_us() - noted[1] < _HOUR_US:
            return None
        return noted[0]

    def _bind_retries(self) -> None:
        """Never send what a retry has placed whose ledger is gone: it is there under another id than the row's."""
        if not strangers.has_derived(self.ledger):
            return
        for batch, key in queries.queued_batches(self.ledger):
            for number, seen in strangers.unknown_retries(self.ledger, key).items():
                self._bind(batch, ids.key_of_retry(key, number), seen)

    def _bind(self, batch: int, retry: bytes, seen: list[Stranger]) -> None:
        by_id = {order.client_order_id: order for order in seen}
        texts = {row_id: ids.normalized(intent) for row_id, intent in listing.queued_intents(self.ledger, batch)}
        rows = ids.rows_of_retry(retry, by_id, texts)
        queued = list(queries.creates_of(self.ledger, rows).values())
        if queued:
            placed = {row_id: by_id[client_order_id] for row_id, client_order_id in rows.items()}
            strangers.bind(self.ledger, placed, queued, self.settings.now_us())
        self.findings.retried += len(queued)

    def learn_user(self) -> None:
        """Learn whose ledger this is from one of its own orders, once it has one. Raises ReadFailed."""
        if self.ledger.identity().user_id is not None:
            return
        order_id = queries.newest_order_id(self.ledger)
        seen = self.venue.account.get_order(order_id) if order_id is not None else None
        if seen is not None and seen.user_id:
            account.note_user(self.ledger, seen.user_id)

    def note_account_read(self, scan: Scan) -> None:
        """The account was read up to this scan, and nothing that it may not have shown has to be waited for."""
        read = account.AccountRead(scan.as_of_ms, self._newest_batch, self._held_back)
        account.note_account_read(self.ledger, read, self.settings.now_us())

    def read_since(self, since_ms: int) -> Scan:
        """Read the account's orders created since that exchange time once more. Raises ReadFailed."""
        return self._scan(since_ms - self.settings.horizon_ms)

    def record(self, facts: list[tuple[Entry, e.Event]]) -> None:
        """Append facts that somebody else concluded (a person, for a parked order)."""
        apply.apply(self.ledger, facts, self.settings.now_us())

    def resolve(self) -> int:
        """One scan for everything in doubt: found, proven absent, or left in doubt. How many remain (parked too).

        Raises ReadFailed: then nothing was concluded from what the scan did not show.
        """
        before = queries.doubts(self.ledger)
        creates = [x for x in before if x.command.kind is CommandKind.CREATE]
        if creates:
            self._conclude_absences(self._scan(self._scan_start_ms(creates)))
        self._settle_changes()
        left = queries.doubts(self.ledger)
        self.findings.resolved += max(0, len(before) - len(left))
        return len(left)

    def report_standing(self) -> None:
        """Every order that waits for a person's decision, or rests as nobody asked for here, however long ago."""
        doubts = queries.doubts(self.ledger)
        self.findings.report(compare.parked_break(x) for x in doubts if x.command.state is CommandState.PARKED)
        self._report_amended(queries.amended_elsewhere(self.ledger))
        self._look_at_seconds()
        self.findings.report(duplicate_breaks(self.ledger))

    def _look_at_seconds(self) -> None:
        """How those second orders stand that nobody has looked at yet, one by one: there are few, or far too many."""
        left = [x for x in seconds.standing(self.ledger) if not x.is_ended][:_SINGLE_READS]
        if not left:
            return
        as_of_ms = self.venue.exchange.user_data_timestamp_ms()
        shown = [self.venue.account.get_order(x.order_id) for x in left]
        externals.note(self.ledger, [order for order in shown if order is not None], as_of_ms)

    def _scan_start_ms(self, creates: list[Entry]) -> int | None:
        """How far back orders in doubt can be; None, to the beginning, where a 409 told of one that may be older."""
        if any(x.command.id_taken and x.command.state is CommandState.IN_DOUBT for x in creates):
            return None
        signed = [x.command.first_signed_ms for x in creates if x.command.first_signed_ms is not None]
        recorded = [x.recorded_at_us // 1000 for x in creates if x.command.first_signed_ms is None]
        return self._with_witness(min(signed + recorded) - 2 * self.settings.horizon_ms)

    def _with_witness(self, start_ms: int) -> int:
        """The start of a scan, moved back to the newest order known to be there, if that is not years ago.

        A span in which the exchange took nothing of ours has no witness, and an empty listing would prove anything.
        """
        newest_ms = queries.newest_created_ms(self.ledger)
        if newest_ms is None or newest_ms < start_ms - _WITNESS_REACH_MS:
            return start_ms
        return min(start_ms, newest_ms - 2 * compare.EDGE_MS)

    def _scan(self, min_ts_ms: int | None, *, known_cutoff_ms: int | None = None) -> Scan:
        scan = Scan(self.venue, min_ts_ms, known_cutoff_ms)
        for source, orders in scan.chunks():
            self._check_user(scan, orders)  # before anything of another account is recorded here
            self._recognize(source, orders, scan.as_of_ms, surprising_from_ms=min_ts_ms or 0)
        for item in scan.unreadable:
            self.findings.report([compare.unreadable_break(item.client_order_id, item.order_id, item.reason)])
        return scan

    def _recognize(
        self, source: str, orders: list[Snapshot], as_of_ms: int, surprising_from_ms: int | None = None
    ) -> None:
        known = queries.creates_of(self.ledger, [o.client_order_id for o in orders if o.client_order_id])
        unnamed = [order for order in orders if order.client_order_id not in known]
        renamed = queries.creates_by_order_id(self.ledger, [order.order_id for order in unnamed])
        conclusions: list[tuple[Entry, e.Event]] = []
        strange = [order for order in unnamed if order.order_id not in renamed]
        self._external.update(order.order_id for order in strange)
        self.findings.external = len(self._external)
        strangers.note(self.ledger, strange)
        doubled = [x for x in orders if compare.is_second(known.get(x.client_order_id), x)]
        externals.note(self.ledger, [*strange, *doubled], as_of_ms)
        for order in orders:
            entry = known.get(order.client_order_id) or renamed.get(order.order_id)
            if surprising_from_ms is not None and (order.created_ts_ms or 0) >= surprising_from_ms:
                self._note_surprise(entry, order)
            if entry is None:
                continue
            self.findings.report(compare.order_breaks(entry, order))
            event = compare.recognize(entry, order, as_of_ms, source)
            if event is not None:
                conclusions.append((entry, event))
        conclusions = self._with_reasons(conclusions)
        after = apply.apply(self.ledger, conclusions, self.settings.now_us())
        late: list[Entry] = []
        for entry, event in conclusions:
            self._count(entry, after[entry.command_key], event)
            if after[entry.command_key].order.late and not entry.order.late:
                late.append(entry)
        if late:
            self.findings.needless += withdraw_retries(self.ledger, late, self.settings.now_us())
        self._report_amended(after.get(x.command_key, x) for x in [*known.values(), *renamed.values()])

    def _with_reasons(self, conclusions: list[tuple[Entry, e.Event]]) -> list[tuple[Entry, e.Event]]:
        """The same facts, those that show an order canceled with why, where nobody here had asked for it."""
        ended = [entry for entry, event in conclusions if compare.is_end_unasked(entry, event)]
        if not ended:
            return conclusions
        ours = queries.canceled_here(self.ledger, [x.order_key for x in ended])
        tickers = {x.ticker for x in ended if x.order_key not in ours}
        self._read_markets(tickers)
        since_ms = min((x.order.created_ts_ms or 0 for x in ended), default=0)
        around = compare.Surroundings(
            closed_ms=queries.closed_markets(self.ledger, tickers),
            triggered_groups=queries.triggered_groups(self.ledger),
            all_canceled_until_ms=queries.watermark(self.ledger, CANCEL_ALL_TAIL),
            crossing=[compare.Crossing(*each) for each in queries.crossing(self.ledger, tickers, since_ms)],
        )
        return [
            (x, compare.with_reason(x, event, around) if _is_unasked(x, event, ours) else event)
            for x, event in conclusions
        ]

    def _read_markets(self, tickers: set[str]) -> None:
        """Ask which of these markets have closed; one that is known to have does not open again."""
        with suppress(ReadFailed):
            books.read_quotes(
                self.ledger,
                self.venue,
                tickers - queries.closed_markets(self.ledger, tickers).keys(),
                self.settings.now_us,
            )

    def _report_amended(self, entries: Iterable[Entry]) -> None:
        """Terms that nobody asked for here, unless a change of ours is in doubt: then it may be what is seen."""
        amended = [x for x in entries if x.order.terms_elsewhere and x.order.status is OrderStatus.RESTING]
        doubtful = queries.changes_open(self.ledger, [x.order_key for x in amended]) if amended else set()
        self.findings.report(compare.amended_break(x) for x in amended if x.order_key not in doubtful)

    def _count(self, before: Entry, after: Entry, event: e.Event) -> None:
        if isinstance(event, e.Found):
            self.findings.found += before.command.state is not CommandState.QUEUED
            self.findings.preplaced += before.command.state is CommandState.QUEUED
            if after.order.late and not before.order.late:
                self.findings.late += 1
                self.findings.report([compare.late_break(after)])
        elif isinstance(event, e.Observed):
            self.findings.updated += 1

    def _note_surprise(self, entry: Entry | None, order: Snapshot) -> None:
        """Note an order that oms has sent, but not from this ledger as it is: unknown here, or never claimed here."""
        is_surprise = ids.is_ours(order.client_order_id) if entry is None else entry.command.attempts == 0
        if is_surprise:
            newest = self.findings.newest_surprise_ms or 0
            self.findings.newest_surprise_ms = max(newest, order.created_ts_ms or 0)

    def _check_user(self, scan: Scan, orders: list[Snapshot]) -> None:
        """The key's user must be the ledger's: another account's silence proves nothing about this one."""
        if not scan.user_ids:
            return
        known = self.ledger.identity().user_id
        if known is None and len(scan.user_ids) == 1:
            is_new = queries.newest_order_id(self.ledger) is None
            if is_new or queries.creates_by_order_id(self.ledger, [order.order_id for order in orders]):
                account.note_user(self.ledger, next(iter(scan.user_ids)))
        elif known is not None and known not in scan.user_ids:
            raise LedgerForeign(
                f"the API key belongs to user {sorted(scan.user_ids)[0]}, the ledger to user {known}; nothing was sent",
                hint="use a key of the account this ledger was made with, or another ledger.url",
            )

    # -- absence --------------------------------------------------------------------------------------------------

    def _conclude_absences(self, scan: Scan) -> None:
        view = scan.view()
        witnesses = self._witnesses(scan)
        missing = compare.missing_witnesses(witnesses, view)
        doubtful = [
            x
            for x in queries.doubts(self.ledger)
            if x.command.kind is CommandKind.CREATE and x.command.state is CommandState.IN_DOUBT
        ]
        policy = self._policy(doubtful)
        conclusions: list[tuple[Entry, e.Event]] = []
        for entry in doubtful:
            if not compare.proves_absence(entry, view, missing, self.settings.horizon_ms):
                continue
            if not self._same_key(entry) and not (witnesses or self._same_user(scan)):
                self.findings.unseen.add(entry.client_order_id)
                continue  # nothing shows that this key sees what the sender's key placed
            twin = compare.look_alike(entry, view)
            if twin is not None:  # only a person can tell whose it is
                conclusions.append((entry, compare.foreign(twin, view.as_of_ms)))
                continue
            events = compare.conclude_absence(entry, view, len(witnesses), policy)
            conclusions += [(entry, event) for event in events]
            self.findings.absent += 1
            self.findings.requeued += len(events) > 1
        apply.apply(self.ledger, conclusions, self.settings.now_us())

    def _witnesses(self, scan: Scan) -> dict[str, int]:
        return queries.witnesses(self.ledger, scan.min_ts_ms or 0, scan.as_of_ms)

    def _policy(self, doubtful: list[Entry]) -> Policy:
        return Policy(
            horizon_ms=self.settings.horizon_ms,
            resend=self.settings.resend,
            now_us=self.settings.now_us(),
            cancel_asked=queries.cancels_asked(self.ledger, (x.order_key for x in doubtful)),
        )

    def _same_key(self, entry: Entry) -> bool:
        epoch = entry.command.epoch
        return epoch is not None and queries.key_print_of_epoch(self.ledger, epoch) == self.settings.key_print

    def _same_user(self, scan: Scan) -> bool:
        return self.ledger.identity().user_id in scan.user_ids

    # -- cancels, amends, decreases --------------------------------------------------------------------------------

    def _settle_changes(self) -> None:
        changes = [
            x
            for x in queries.doubts(self.ledger)
            if x.command.kind is not CommandKind.CREATE and x.command.state is CommandState.IN_DOUBT
        ]
        policy = self._policy(changes)
        as_of_ms = 0
        for number, entry in enumerate(changes):
            if number % _SINGLE_READS == 0:  # how fresh the data are is asked before they are read
                as_of_ms = self.venue.exchange.user_data_timestamp_ms()
            order_id = entry.order.order_id
            seen = self.venue.account.get_order(order_id) if order_id is not None else None
            events = compare.settle_change(entry, seen, as_of_ms, policy)
            conclusions = self._with_reasons([(entry, event) for event in events])
            after = apply.apply(self.ledger, conclusions, self.settings.now_us())
            settled = after.get(entry.command_key)
            if settled is not None and settled.command.state is CommandState.ABSENT:
                self.findings.report([compare.no_effect_break(settled)])

    # -- what lives -----------------------------------------------------------------------------------------------

    def update_live(self, seen: Scan) -> None:
        """Bring every order that rests as far as we know, and that the scan did not show, up to date.

        Lists go by creation, so an older order is seen only among all that rest, or by itself once it has left them. A
        list that is suddenly empty concludes nothing: each order that it lacks is asked for. Raises ReadFailed.
        """
        unseen = self._unseen(seen.order_ids)
        if len(unseen) > _FEW or externals.has_resting(self.ledger):
            still = self._list_resting(seen.as_of_ms)
            unseen = [(order_id, created_ms) for order_id, created_ms in unseen if order_id not in still]
        self._look_up(unseen)

    def look_up_all(self, order_ids: Collection[str]) -> None:
        """Bring these orders, which rest as far as is known, up to date. Raises ReadFailed."""
        asked = set(order_ids)
        wanted = [pair for pair in queries.resting_ids(self.ledger) if pair[0] in asked]
        if len(wanted) > _SINGLE_READS:
            still = self._list_resting(self.venue.exchange.user_data_timestamp_ms())
            wanted = [pair for pair in wanted if pair[0] not in still]
        self._look_up(wanted)

    def _look_up(self, unseen: list[tuple[str, int]]) -> None:
        if len(unseen) > _SINGLE_READS:  # cheaper than one by one, and it shows how each of them ended
            again = self._scan(min(created_ms for _, created_ms in unseen) - self.settings.horizon_ms)
            unseen = [(order_id, created_ms) for order_id, created_ms in unseen if order_id not in again.order_ids]
        for entry in queries.creates_by_order_id(self.ledger, [order_id for order_id, _ in unseen]).values():
            self.look_up(entry)

    def _unseen(self, order_ids: Collection[str]) -> list[tuple[str, int]]:
        return [pair for pair in queries.resting_ids(self.ledger) if pair[0] not in order_ids]

    def _list_resting(self, as_of_ms: int) -> set[str]:
        shown: set[str] = set()
        chunk: list[Snapshot] = []
        listing = self.venue.account.list_orders(status="resting")
        for order in listing:
            shown.add(order.order_id)
            chunk.append(order)
            if len(chunk) >= _CHUNK:
                self._recognize("orders", chunk, as_of_ms)
                chunk = []
        self._recognize("orders", chunk, as_of_ms)
        if shown and not listing.unreadable:
            externals.end_all_but(self.ledger, shown, as_of_ms)
        for order_id in [] if shown else externals.resting_ids(self.ledger, _SINGLE_READS):
            known = self.venue.account.get_order(order_id)
            externals.note(self.ledger, [] if known is None else [known], as_of_ms)
        return shown

    def look_up(self, entry: Entry) -> None:
        """Bring one order that the exchange has taken up to date. Raises ReadFailed."""
        assert entry.order.order_id is not None
        as_of_ms = self.venue.exchange.user_data_timestamp_ms()
        order = self.venue.account.get_order(entry.order.order_id)
        if order is not None:
            self._recognize("order", [order], as_of_ms)
            return
        created_ms = entry.order.created_ts_ms or 0
        old = self.venue.account.historical_orders(ticker=entry.ticker, min_ts=max(0, created_ms // 1000 - 60))
        match = [o for o in old if o.order_id == entry.order.order_id]
        if match:
            self._recognize("historical", match, as_of_ms)
        elif as_of_ms >= created_ms + self.settings.horizon_ms:  # before that it may not be shown yet: reads lag
            self.findings.report([compare.lost_break(entry)])

    def read_books(self, seen: Scan | None, since_ms: int | None = None) -> None:
        """Bring trades, settlements, positions and balances up to date. Raises ReadFailed."""
        as_of_ms = self.venue.exchange.user_data_timestamp_ms() if seen is None else seen.as_of_ms
        how = books.How(as_of_ms, self.settings.horizon_ms, self.settings.now_us, since_ms)
        found = books.read(self.ledger, self.venue, how)
        self.findings.fills += found.trades
        self.findings.external_fills += found.strange_trades
        self.findings.settlements += found.settlements
        self.findings.report(found.breaks)


def _is_unasked(entry: Entry, event: e.Event, canceled_here: Collection[int]) -> bool:
    return compare.is_end_unasked(entry, event) and entry.order_key not in canceled_here
