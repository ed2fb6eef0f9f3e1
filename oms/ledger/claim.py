"""One turn of the writer: the answers that came back are recorded and the next commands claimed, in one transaction.

What is returned as claimed may be sent, and nothing else may (P1): its attempt, epoch, signed timestamp and body
digest are durable. Halt, epoch, time to live and the file under the ledger's path are all checked in here, where no
other process can come in between (P5).
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, or_, select, text
from sqlalchemy.engine import Connection

from oms.errors import LedgerDamaged
from oms.intake.intents import body_digest
from oms.ledger import schema
from oms.ledger.append import Fact, append
from oms.ledger.bulk import execute, placeholder, rows_of
from oms.ledger.ledger import Ledger
from oms.ledger.rows import ENTRY_SELECT, Entry, entry_of
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandKind, CommandState, OrderStatus, Reason

_c, _o = schema.commands.c, schema.orders.c

# Create commands are read ahead of need, so many at least, so that most turns select nothing.
_READ_AHEAD = 64
# At most so many attempts of one create: a limit on everything.
MAX_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run may send: these batches, and every batch recorded after `newer_than` (0: all)."""

    batches: frozenset[int] = frozenset()
    newer_than: int = 0
    creates: bool = True
    despite_halt: bool = False  # cancels go on while sending is halted: they make the account safer

    def has(self, batch_key: int) -> bool:
        return batch_key > self.newer_than or batch_key in self.batches


@dataclass(frozen=True, slots=True)
class Now:
    """The two clocks of one turn: ours, and the exchange's by which requests are signed."""

    at_us: int
    signed_ms: int


# True: claim it. False: not now, and nothing behind it. Else the event that ends it unsent.
Admit = Callable[[Entry], bool | e.Withdrawn]
# Records what somebody hands to this run, in the turn's transaction; the number of the newest event it wrote, or 0.
Record = Callable[[Connection], int]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn made durable."""

    claimed: tuple[Entry, ...]  # on the wire from now on
    settled: tuple[Entry, ...]  # every entry that facts of this turn moved, claimed ones included
    is_halted: bool


class Desk:
    """The claiming side of one run: it holds the read-ahead queue and does the turns."""

    def __init__(self, ledger: Ledger, scope: Scope, *, at_once: bool) -> None:
        self._ledger = ledger
        self._scope = scope
        self._at_once = at_once
        self._ahead: deque[Entry] = deque()

    def turn(
        self,
        answers: Sequence[tuple[Entry, e.Event]],
        want: int,
        now: Now,
        admit: Admit = lambda _: True,
        record: Record = lambda _: 0,
        *,
        cancels_only: bool = False,
    ) -> Turn:
        """Record the answers and claim up to `want` more (with `cancels_only`, cancels alone); durable on return.

        `admit` is asked for each candidate in order and may say no (no rate token left): claiming ends there. Or it
        gives the event that ends the candidate unsent (over a limit). What `record` records may be claimed at once.
        Raises EpochLost, LedgerReplaced, LedgerFailed; then nothing may be sent any more.
        """
        self._ledger.check_place()
        facts = [Fact(entry, event) for entry, event in answers]
        with self._ledger.write() as connection:
            newest_epoch, is_halted, has_changes, tail_ms, seq = execute(connection, _STATE_OF_TURN).fetchone()
            self._ledger.compare_epoch(newest_epoch)
            is_halted = is_halted or self._ledger.halt.is_set()
            in_tail = 0 <= (tail_ms or 0) - now.signed_ms <= _LONGEST_TAIL_MS
            recorded_seq = record(connection)
            claims: list[Fact] = []
            if want > 0 and not is_halted and not in_tail and not cancels_only:
                claims = self._claims(connection, want, now, admit, has_changes=bool(has_changes))
            elif want > 0 and has_changes and (self._scope.despite_halt or not is_halted):
                claims, _ = self._cancels(connection, want, now, admit)
                claims += self._modifies(connection, want, now, lambda entry: False)[0]  # only what is needless now
            seq = recorded_seq or seq
            appended = append(connection, [*facts, *claims], epoch=self._ledger.epoch, now_us=now.at_us, seq=seq)
        self._ledger.note_seq(appended.newest_seq or recorded_seq)
        self._ledger.on_moved(appended.entries.values())
        claimed = [appended.entries[f.entry.command_key] for f in claims if isinstance(f.event, e.Claimed)]
        if appended.duplicates:
            is_halted = True
        return Turn(tuple(claimed), tuple(appended.entries.values()), bool(is_halted) and not self._scope.despite_halt)

    def tend(self) -> None:
        """Checkpoint when due: after each turn, when what it claimed is under way and need not wait for it."""
        self._ledger.tend()

    def has_claimable(self) -> bool:
        """Whether anything in scope is queued that only time, tokens or the exchange keep from being claimed."""
        with self._ledger.read() as connection:
            if connection.execute(_CLAIMABLE_CANCEL).scalar():
                return True
            if self._scope.despite_halt and (self._ledger.halt.is_set() or connection.execute(_IS_HALTED).scalar()):
                return False
            if connection.execute(_CLAIMABLE_MODIFY).scalar():
                return True
            return self._scope.creates and any(self._batches(connection))

    @property
    def tickers_ahead(self) -> set[str]:
        """The markets of what would be claimed next."""
        return {entry.ticker for entry in self._ahead}

    def refresh(self) -> None:
        """Forget what was read ahead: somebody else may have moved it (a withdrawal, a resolution)."""
        self._ahead.clear()

    def withdraw_expired(self, now_us: int) -> None:
        """Withdraw what is past its time while nothing can be claimed; durable on return."""
        if withdraw_expired(self._ledger, now_us):
            self.refresh()

    def _claims(self, connection: Connection, want: int, now: Now, admit: Admit, *, has_changes: bool) -> list[Fact]:
        # Once a turn, and before anything of it is decided: what is claimed or withdrawn here still reads as queued.
        if self._scope.creates and len(self._ahead) < want:
            self._ahead.clear()
            self._read_ahead(connection, now, max(want, _READ_AHEAD))
        facts, taken = self._changes(connection, want, now, admit) if has_changes else ([], 0)
        while taken < want and self._ahead:
            entry = self._ahead[0]
            if entry.expires_at_us is not None and entry.expires_at_us <= now.at_us:
                # One in doubt, read ahead to be sent at once, is past its time too: it has to be resolved instead.
                if entry.command.state is CommandState.QUEUED:
                    facts.append(Fact(entry, e.Withdrawn(reason=Reason.EXPIRED)))
            elif (verdict := admit(entry)) is False:
                break
            elif verdict is True:
                facts.append(_claim(entry, now, self._ledger.epoch))
                taken += 1
            elif entry.command.state is CommandState.QUEUED:  # one in doubt may be there already
                facts.append(Fact(entry, verdict))
            self._ahead.popleft()
        return facts

    def _changes(self, connection: Connection, want: int, now: Now, admit: Admit) -> tuple[list[Fact], int]:
        facts, taken = self._cancels(connection, want, now, admit)
        more, changed = self._modifies(connection, want - taken, now, admit)
        return facts + more, taken + changed

    def _modifies(self, connection: Connection, want: int, now: Now, admit: Admit) -> tuple[list[Fact], int]:
        """Amends and decreases, one at a time for each order; what a newer one or a cancel made needless ends here."""
        facts: list[Fact] = []
        taken = 0
        rows = rows_of(connection, _QUEUED_MODIFIES, {"now_us": now.at_us, "most": max(want, 1) * 4})
        for *row, is_superseded in rows:
            entry = entry_of(row)
            if entry.order.status is not OrderStatus.RESTING:
                facts.append(Fact(entry, e.Moot(detail=f"the order is {entry.order.status}")))
            elif is_superseded:
                facts.append(Fact(entry, e.Withdrawn(reason=Reason.SUPERSEDED)))
            elif entry.expires_at_us is not None and entry.expires_at_us <= now.at_us:
                facts.append(Fact(entry, e.Withdrawn(reason=Reason.EXPIRED)))
            elif taken < want and (verdict := admit(entry)) is not False:
                facts.append(_claim(entry, now, self._ledger.epoch) if verdict is True else Fact(entry, verdict))
                taken += verdict is True
        return facts, taken

    def _cancels(self, connection: Connection, want: int, now: Now, admit: Admit) -> tuple[list[Fact], int]:
        """Cancels go first, whatever batch they belong to: they make the account safer."""
        facts: list[Fact] = []
        taken = 0
        asked = set(connection.execute(_CANCELS_ASKED).scalars())
        # Another process may have recorded a cancel since these were read: none of them is sent any more.
        self._ahead = deque(entry for entry in self._ahead if entry.order_key not in asked)
        rows = rows_of(connection, _QUEUED_CANCELS, {"now_us": now.at_us, "most": want * 4})
        for entry in map(entry_of, rows):
            if entry.order.status is OrderStatus.PENDING:
                facts += self._cancel_of_pending(connection, entry)
            elif entry.order.status is not OrderStatus.RESTING:
                facts.append(Fact(entry, e.Moot(detail=f"the order is {entry.order.status}")))
            elif taken < want and admit(entry):
                facts.append(_claim(entry, now, self._ledger.epoch))
                taken += 1
        return facts, taken

    def _cancel_of_pending(self, connection: Connection, cancel: Entry) -> list[Fact]:
        """A create that never left is withdrawn at once (one that may have left is waited for, and not asked here)."""
        create = entry_of(connection.execute(_CREATE_OF, {"order_key": cancel.order_key}).one())
        assert create.command.state is CommandState.QUEUED
        return [
            Fact(create, e.Withdrawn(reason=Reason.CANCEL_REQUESTED)),
            Fact(cancel, e.Moot(detail="the order was withdrawn before it was sent")),
        ]

    def _read_ahead(self, connection: Connection, now: Now, most: int) -> None:
        if self._at_once:
            rows = rows_of(connection, _DOUBTFUL_CREATES, {"now_us": now.at_us, "most": most})
            self._ahead.extend(x for x in map(entry_of, rows) if self._may_resend_at_once(x, now))
        for batch_key in self._batches(connection):
            room = most - len(self._ahead)
            if room <= 0:
                break
            values = {"batch_key": batch_key, "now_us": now.at_us, "most": room}
            self._ahead.extend(map(entry_of, rows_of(connection, _QUEUED_CREATES, values)))

    def _may_resend_at_once(self, entry: Entry, now: Now) -> bool:
        """resend = "at_once": the next attempt of a doubtful create, each after twice the pause of the one before."""
        if entry.expires_at_us is not None and entry.expires_at_us <= now.at_us:
            return False  # past its time: it has to be resolved, not sent
        pause_ms = 500 << min(entry.command.attempts, 8)
        return self._scope.has(entry.batch_key) and now.signed_ms - (entry.command.last_signed_ms or 0) >= pause_ms

    def _batches(self, connection: Connection) -> Iterator[int]:
        """The batches of this run's scope that have queued creates, oldest first, by one index step each."""
        mark = placeholder(connection)
        found: int | None = min([self._scope.newer_than, *(key - 1 for key in self._scope.batches)])
        while True:
            found = execute(connection, _NEXT_BATCH + mark, (found,)).fetchone()[0]
            if found is None:
                return
            if self._scope.has(found) and execute(connection, _MAY_BE_CLAIMED + mark, (found,)).fetchone()[0]:
                yield found


def _claim(entry: Entry, now: Now, epoch: int | None) -> Fact:
    if body_digest(entry.body) != entry.digest:
        raise LedgerDamaged(
            f"order {entry.client_order_id}: the stored request is not the one that was recorded; nothing was sent",
            hint="run `oms db check`",
        )
    assert epoch is not None
    attempt = entry.command.attempts + 1
    return Fact(entry, e.Claimed(attempt=attempt, epoch=epoch, signed_ms=now.signed_ms, at_us=now.at_us))


def open_run(ledger: Ledger, now_us: int) -> int:
    """Turn what the dead run left on the wire into doubt (P5); how many commands that were."""
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        rows = connection.execute(ENTRY_SELECT.where(text(_UNFINISHED_C), text("commands.state = 'on_wire'"))).all()
        assert ledger.epoch is not None
        facts = [Fact(entry_of(row), e.SenderDied(epoch=ledger.epoch)) for row in rows]
        appended = append(connection, facts, epoch=ledger.epoch, now_us=now_us)
    ledger.note_seq(appended.newest_seq)
    ledger.on_moved(appended.entries.values())
    return len(facts)


def withdraw_expired(ledger: Ledger, now_us: int, most: int = 1_000) -> int:
    """Withdraw queued creates whose time has passed, up to `most`; how many were."""
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        rows = connection.execute(_EXPIRED, {"now_us": now_us, "most": most})
        facts = [Fact(entry_of(row), e.Withdrawn(reason=Reason.EXPIRED)) for row in rows]
        appended = append(connection, facts, epoch=ledger.epoch, now_us=now_us)
    ledger.note_seq(appended.newest_seq)
    ledger.on_moved(appended.entries.values())
    return len(facts)


# The partial index is used only where its own condition is repeated literally; then the state is narrowed.
_UNFINISHED_C = schema.UNFINISHED_SQL.replace("state", "commands.state", 1)

# What every turn has to know, in one question: the newest epoch, whether sending is halted, whether a change waits,
# until when a cancel-all may take along what is placed, and the number of the newest event.
_STATE_OF_TURN = (
    "SELECT (SELECT epoch FROM ledger), EXISTS (SELECT 1 FROM controls WHERE name = 'halt'), EXISTS (SELECT 1 FROM"  # noqa: S608
    f" commands WHERE {schema.UNFINISHED_SQL} AND state = 'queued' AND kind IN ('cancel', 'amend', 'decrease')),"
    f" (SELECT value_ms FROM watermarks WHERE name = '{schema.CANCEL_ALL_TAIL}'),"
    " (SELECT coalesce(max(seq), 0) FROM events)"
)
# A tail that ends later than any was noted by a clock that has been set back since: it is over.
_LONGEST_TAIL_MS = 600_000
_MAY_BE_CLAIMED = f"SELECT count(*) FROM batches WHERE state = 'recorded' AND NOT {schema.IS_STRANGE_SQL} AND key = "  # noqa: S608
_NEXT_BATCH = (
    f"SELECT min(batch_key) FROM commands WHERE {schema.UNFINISHED_SQL} AND state = 'queued'"  # noqa: S608
    " AND kind = 'create' AND batch_key > "
)
_CLAIMABLE_CANCEL = text(
    f"SELECT count(*) FROM commands JOIN orders ON orders.key = commands.order_key WHERE {_UNFINISHED_C}"  # noqa: S608
    " AND commands.state = 'queued' AND commands.kind = 'cancel' AND orders.status <> 'pending'"
)
_IS_HALTED = text("SELECT count(*) FROM controls WHERE name = 'halt'")
# Not while an earlier change of the order has no known outcome, nor before the order itself is there.
_MAY_BE_MODIFIED = (
    "orders.status <> 'pending' AND NOT EXISTS (SELECT 1 FROM commands AS k WHERE k.order_key = commands.order_key"
    " AND k.kind IN ('amend', 'decrease') AND k.state IN ('on_wire', 'in_doubt'))"
)
_CLAIMABLE_MODIFY = text(
    f"SELECT count(*) FROM commands JOIN orders ON orders.key = commands.order_key WHERE {_UNFINISHED_C}"  # noqa: S608
    f" AND commands.state = 'queued' AND commands.kind IN ('amend', 'decrease') AND {_MAY_BE_MODIFIED}"
)
# A pause that ends later than any pause lasts was noted by a clock that has been set back since: it is over.
_LONGEST_PAUSE_US = 60_000_000
_QUEUED = ENTRY_SELECT.where(
    text(_UNFINISHED_C),
    text("commands.state = 'queued'"),
    or_(_c.not_before_us <= bindparam("now_us"), _c.not_before_us > bindparam("now_us") + _LONGEST_PAUSE_US),
)
_QUEUED_CREATES = (
    _QUEUED.where(text("commands.kind = 'create'"), _c.batch_key == bindparam("batch_key"))
    .order_by(_c.key)
    .limit(bindparam("most"))
)
_CANCELS_ASKED = text(
    f"SELECT order_key FROM commands WHERE {schema.UNFINISHED_SQL} AND state = 'queued' AND kind = 'cancel'"  # noqa: S608
)
# Those that wait for the fate of an order in doubt are left out: many of them would hide the ones behind.
_QUEUED_CANCELS = (
    _QUEUED.where(
        text("commands.kind = 'cancel'"),
        text(
            "(orders.status <> 'pending' OR EXISTS (SELECT 1 FROM commands AS k WHERE k.order_key = commands.order_key"
            " AND k.kind = 'create' AND k.state = 'queued'))"
        ),
    )
    .order_by(_c.key)
    .limit(bindparam("most"))
)
_QUEUED_MODIFIES = (
    _QUEUED.add_columns(
        text(
            "EXISTS (SELECT 1 FROM commands AS k WHERE k.order_key = commands.order_key AND"
            " (k.kind = 'cancel' AND k.state IN ('queued', 'on_wire', 'in_doubt')"
            " OR k.kind IN ('amend', 'decrease') AND k.state = 'queued' AND k.key > commands.key))"
        )
    )
    .where(text("commands.kind IN ('amend', 'decrease')"), text(_MAY_BE_MODIFIED))
    .order_by(_c.key)
    .limit(bindparam("most"))
)
_DOUBTFUL_CREATES = (
    ENTRY_SELECT.where(
        text(_UNFINISHED_C),
        text("commands.state = 'in_doubt' AND commands.kind = 'create' AND commands.id_taken = 0"),
        text(
            "NOT EXISTS (SELECT 1 FROM commands AS k WHERE k.order_key = commands.order_key"
            " AND k.kind = 'cancel' AND k.state = 'queued')"
        ),
        _c.not_before_us <= bindparam("now_us"),
        _c.attempts < MAX_ATTEMPTS,
    )
    .order_by(_c.key)
    .limit(bindparam("most"))
)
_CREATE_OF = ENTRY_SELECT.where(_c.order_key == bindparam("order_key"), _c.kind == CommandKind.CREATE.value)
_EXPIRED = (
    ENTRY_SELECT.where(
        text(_UNFINISHED_C),
        text("commands.state = 'queued' AND commands.kind = 'create'"),
        _c.expires_at_us <= bindparam("now_us"),
        select(schema.batches.c.key)
        .where(schema.batches.c.key == _c.batch_key, schema.batches.c.state == "recorded")
        .exists(),
    )
    .order_by(_c.key)
    .limit(bindparam("most"))
)
