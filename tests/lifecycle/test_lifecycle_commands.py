"""Every pair of state and event, for each kind of command, as one table each.

`x`: not allowed, raises, nothing changes. `.`: recorded, the command stays as it is. Else: the state it goes to.
"""

import pytest
from histories import WORDS, S, command_in, order_of, outcome, sample

from oms.errors import InvalidTransition
from oms.lifecycle import events as e
from oms.lifecycle import replay
from oms.lifecycle.states import CommandKind, CommandState, Reason
from oms.lifecycle.table import COMMAND_TABLE, ONLY_FOR, rule_of

CREATE = """
event                queued     on_wire    in_doubt   accepted   refused    withdrawn  absent     parked
claimed              on_wire    x          on_wire    x          x          x          x          x
withdrawn            withdrawn  x          x          x          x          x          x          x
sender_died          x          in_doubt   x          x          x          x          x          x
absence_proven       x          x          absent     x          x          x          x          x
requeued             x          x          x          x          x          x          queued     x
resolved             x          x          x          x          x          x          x          accepted
moot                 x          x          x          x          x          x          x          x
effect_absent        x          x          x          x          x          x          x          x
acknowledged         accepted   accepted   accepted   .          accepted   accepted   accepted   accepted
cancel_acknowledged  .          .          .          .          .          .          .          .
amend_acknowledged   .          .          .          .          .          .          .          .
decrease_acknowledged .         .          .          .          .          .          .          .
not_processed        .          queued     queued     .          .          .          .          .
attempt_refused      .          refused    refused    .          .          .          .          .
attempt_unknown      .          in_doubt   .          .          .          .          .          .
id_taken             .          in_doubt   in_doubt   .          .          .          .          .
found                accepted   accepted   accepted   .          accepted   accepted   accepted   accepted
found_foreign        parked     parked     parked     .          .          .          parked     .
effect_seen          .          .          .          .          .          .          .          .
observed             .          .          .          .          .          .          .          .
filled               .          .          .          .          .          .          .          .
duplicate_seen       .          .          .          .          .          .          .          .
duplicate_settled    .          .          .          .          .          .          .          .
"""

CANCEL = """
event                queued     on_wire    in_doubt   accepted   refused    withdrawn  absent     parked
claimed              on_wire    x          on_wire    x          x          x          x          x
withdrawn            withdrawn  x          x          x          x          x          x          x
sender_died          x          in_doubt   x          x          x          x          x          x
absence_proven       x          x          x          x          x          x          x          x
requeued             x          x          x          x          x          x          queued     x
resolved             x          x          x          x          x          x          x          x
moot                 refused    x          refused    x          x          x          x          x
effect_absent        x          x          absent     x          x          x          x          x
acknowledged         .          .          .          .          .          .          .          .
cancel_acknowledged  accepted   accepted   accepted   .          accepted   .          accepted   accepted
amend_acknowledged   .          .          .          .          .          .          .          .
decrease_acknowledged .         .          .          .          .          .          .          .
not_processed        .          queued     queued     .          .          .          .          .
attempt_refused      .          refused    refused    .          .          .          .          .
attempt_unknown      .          in_doubt   .          .          .          .          .          .
id_taken             .          .          .          .          .          .          .          .
found                .          .          .          .          .          .          .          .
found_foreign        .          .          .          .          .          .          .          .
effect_seen          accepted   accepted   accepted   .          .          .          accepted   accepted
observed             .          .          .          .          .          .          .          .
filled               .          .          .          .          .          .          .          .
duplicate_seen       .          .          .          .          .          .          .          .
duplicate_settled    .          .          .          .          .          .          .          .
"""

AMEND = """
event                queued     on_wire    in_doubt   accepted   refused    withdrawn  absent     parked
claimed              on_wire    x          on_wire    x          x          x          x          x
withdrawn            withdrawn  x          x          x          x          x          x          x
sender_died          x          in_doubt   x          x          x          x          x          x
absence_proven       x          x          x          x          x          x          x          x
requeued             x          x          x          x          x          x          queued     x
resolved             x          x          x          x          x          x          x          x
moot                 refused    x          refused    x          x          x          x          x
effect_absent        x          x          absent     x          x          x          x          x
acknowledged         .          .          .          .          .          .          .          .
cancel_acknowledged  .          .          .          .          .          .          .          .
amend_acknowledged   accepted   accepted   accepted   .          accepted   .          accepted   accepted
decrease_acknowledged .         .          .          .          .          .          .          .
not_processed        .          queued     queued     .          .          .          .          .
attempt_refused      .          refused    refused    .          .          .          .          .
attempt_unknown      .          in_doubt   .          .          .          .          .          .
id_taken             .          .          .          .          .          .          .          .
found                .          .          .          .          .          .          .          .
found_foreign        .          .          .          .          .          .          .          .
effect_seen          accepted   accepted   accepted   .          .          .          accepted   accepted
observed             .          .          .          .          .          .          .          .
filled               .          .          .          .          .          .          .          .
duplicate_seen       .          .          .          .          .          .          .          .
duplicate_settled    .          .          .          .          .          .          .          .
"""

DECREASE = """
event                queued     on_wire    in_doubt   accepted   refused    withdrawn  absent     parked
claimed              on_wire    x          on_wire    x          x          x          x          x
withdrawn            withdrawn  x          x          x          x          x          x          x
sender_died          x          in_doubt   x          x          x          x          x          x
absence_proven       x          x          x          x          x          x          x          x
requeued             x          x          x          x          x          x          queued     x
resolved             x          x          x          x          x          x          x          x
moot                 refused    x          refused    x          x          x          x          x
effect_absent        x          x          absent     x          x          x          x          x
acknowledged         .          .          .          .          .          .          .          .
cancel_acknowledged  .          .          .          .          .          .          .          .
amend_acknowledged   .          .          .          .          .          .          .          .
decrease_acknowledged accepted   accepted   accepted   .          accepted   .          accepted   accepted
not_processed        .          queued     queued     .          .          .          .          .
attempt_refused      .          refused    refused    .          .          .          .          .
attempt_unknown      .          in_doubt   .          .          .          .          .          .
id_taken             .          .          .          .          .          .          .          .
found                .          .          .          .          .          .          .          .
found_foreign        .          .          .          .          .          .          .          .
effect_seen          accepted   accepted   accepted   .          .          .          accepted   accepted
observed             .          .          .          .          .          .          .          .
filled               .          .          .          .          .          .          .          .
duplicate_seen       .          .          .          .          .          .          .          .
duplicate_settled    .          .          .          .          .          .          .          .
"""

# Two attempts without a definite outcome; where a command is on the wire, it is the second that is.
ANSWERS = """
event                attempt    on_wire    in_doubt
not_processed        2          in_doubt   in_doubt
attempt_refused      2          in_doubt   in_doubt
attempt_unknown      2          in_doubt   .
id_taken             2          in_doubt   in_doubt
acknowledged         2          accepted   accepted
not_processed        1          on_wire    in_doubt
attempt_refused      1          on_wire    in_doubt
attempt_unknown      1          .          .
id_taken             1          on_wire    in_doubt
acknowledged         1          accepted   accepted
not_processed        7          .          .
attempt_refused      7          .          .
"""


def rows(table: str) -> list[tuple[str, ...]]:
    head, *lines = [tuple(line.split()) for line in table.strip().splitlines()]
    assert all(len(line) == len(head) for line in lines)
    return [head, *lines]


def pairs(kind: CommandKind, table: str) -> list[tuple[CommandKind, str, str, str]]:
    head, *lines = rows(table)
    return [(kind, line[0], state, cell) for line in lines for state, cell in zip(head[1:], line[1:], strict=True)]


TABLES = {
    CommandKind.CREATE: CREATE,
    CommandKind.CANCEL: CANCEL,
    CommandKind.AMEND: AMEND,
    CommandKind.DECREASE: DECREASE,
}
ALL = [pair for kind, table in TABLES.items() for pair in pairs(kind, table)]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_table_names_every_state_and_every_event(table: str) -> None:
    head, *lines = rows(table)
    assert head[1:] == tuple(CommandState)
    assert tuple(line[0] for line in lines) == WORDS


@pytest.mark.parametrize(("kind", "word", "state", "expected"), ALL, ids=lambda x: str(x))
def test_each_event_leads_where_the_table_says(kind: CommandKind, word: str, state: str, expected: str) -> None:
    attempt = 2 if word == "claimed" else 1
    assert outcome(command_in(kind, S(state)), sample(word, attempt)) == expected


def test_the_rows_of_the_program_are_those_of_this_table() -> None:
    for kind, word, state, expected in ALL:
        event = sample(word)
        rule = rule_of(kind, S(state), type(event))
        assert (rule is not None) == (expected not in ("x", ".")), (kind, word, state)
        if rule is not None:
            assert rule.next == expected
    assert all(isinstance(event, type) for _, event in COMMAND_TABLE)
    assert set(ONLY_FOR) <= set(e.ALL_EVENTS)


@pytest.mark.parametrize("kind", CommandKind)
def test_an_answer_settles_only_its_own_attempt(kind: CommandKind) -> None:
    head, *lines = rows(ANSWERS)
    for word, attempt, *cells in lines:
        if kind is not CommandKind.CREATE and word in ("id_taken", "acknowledged"):
            continue
        for state, expected in zip(head[2:], cells, strict=True):
            command = command_in(kind, S(state), live=(1, 2))
            assert outcome(command, sample(word, int(attempt))) == expected, (word, attempt, state)


@pytest.mark.parametrize(("word", "ended"), [("not_processed", S.QUEUED), ("attempt_refused", S.REFUSED)])
def test_the_last_definite_no_ends_the_doubt(word: str, ended: CommandState) -> None:
    command = command_in(CommandKind.CREATE, S.IN_DOUBT, live=(1, 2, 3))
    order = order_of(command)
    for attempt, live, state in ((2, (1, 3), S.IN_DOUBT), (3, (1,), S.IN_DOUBT), (1, (), ended)):
        command, order = replay.apply(command, order, sample(word, attempt))
        assert (command.state, command.live) == (state, live)


def test_a_refusal_after_an_unknown_attempt_rejects_nothing() -> None:
    """The first attempt may have landed: a 400 to the second says nothing about it."""
    command = command_in(CommandKind.CREATE, S.ON_WIRE, live=(1, 2))
    after, order = replay.apply(command, order_of(command), sample("attempt_refused", 2))
    assert (after.state, after.live, order.status) == (S.IN_DOUBT, (1,), "pending")
    assert after.reason is Reason.NO_ANSWER


def test_an_attempt_is_numbered_after_the_one_before() -> None:
    command = command_in(CommandKind.CREATE, S.QUEUED)
    for attempt in (1, 3):
        with pytest.raises(InvalidTransition):
            replay.apply(command, order_of(command), sample("claimed", attempt))


def test_a_claim_keeps_the_first_and_the_latest_time_it_was_signed() -> None:
    command = replay.begin(e.Recorded(kind=CommandKind.CREATE))
    order = order_of(command)
    for attempt, signed_ms in ((1, 50), (2, 70)):
        claim = e.Claimed(attempt=attempt, epoch=attempt, signed_ms=signed_ms, at_us=attempt)
        command, order = replay.apply(command, order, claim)
        if attempt == 1:
            command, order = replay.apply(command, order, sample("not_processed", 1))
    assert (command.first_signed_ms, command.last_signed_ms, command.epoch, command.attempts) == (50, 70, 2, 2)
    assert order.sent_at_us == 1


@pytest.mark.parametrize(("word", "latest"), [("not_processed", 50), ("attempt_unknown", 70)])
def test_a_time_of_a_fast_clock_bounds_nothing_once_its_attempt_is_known_to_be_no(word: str, latest: int) -> None:
    """Signed an hour ahead and refused for it: the next attempt has the right time, and is sent with it."""
    command = replay.begin(e.Recorded(kind=CommandKind.CREATE))
    order = order_of(command)
    for event in (
        e.Claimed(attempt=1, epoch=1, signed_ms=70, at_us=1),
        sample(word, 1),
        e.Claimed(attempt=2, epoch=1, signed_ms=50, at_us=2),
    ):
        command, order = replay.apply(command, order, event)
    assert (command.first_signed_ms, command.last_signed_ms) == (50, latest)


def test_an_absent_create_whose_id_the_exchange_keeps_is_refused_for_ever() -> None:
    command = command_in(CommandKind.CREATE, S.ON_WIRE)
    order = order_of(command)
    for word in ("id_taken", "absence_proven"):
        command, order = replay.apply(command, order, sample(word))
    assert (command.state, command.reason, order.status) == (S.REFUSED, Reason.ID_CONSUMED, "rejected")
    with pytest.raises(InvalidTransition):
        replay.apply(command, order, sample("requeued"))


def test_an_absent_create_that_may_be_sent_again_is_still_pending() -> None:
    command = command_in(CommandKind.CREATE, S.IN_DOUBT)
    proven = e.AbsenceProven(as_of_ms=2, fence_ms=1, orders_seen=0, witnesses=0, final=False)
    command, order = replay.apply_all(command, order_of(command), [proven, sample("requeued")])
    assert (command.state, command.live, command.reason, order.status) == (S.QUEUED, (), Reason.WAITING, "pending")


def test_a_create_that_was_given_up_for_good_is_not_sent_again() -> None:
    command = command_in(CommandKind.CREATE, S.IN_DOUBT)
    command, order = replay.apply(command, order_of(command), sample("absence_proven"))
    assert (command.state, order.status) == (S.ABSENT, "unsent")
    with pytest.raises(InvalidTransition):
        replay.apply(command, order, sample("requeued"))


@pytest.mark.parametrize(("order_id", "state", "status"), [("A", S.ACCEPTED, "resting"), (None, S.ABSENT, "unsent")])
def test_a_person_decides_about_a_parked_create(order_id: str | None, state: CommandState, status: str) -> None:
    command = command_in(CommandKind.CREATE, S.PARKED)
    after, order = replay.apply(command, order_of(command), e.Resolved(order_id=order_id, detail="looked"))
    assert (after.state, after.live, after.reason) == (state, (), Reason.RESOLVED_BY_HAND)
    assert (order.status, order.order_id, order.reason) == (status, order_id, Reason.RESOLVED_BY_HAND)


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        (e.NotProcessed(attempt=1, why="paused"), "paused"),
        (e.NotProcessed(attempt=1, why="not_sent", detail="no route"), "not_sent: no route"),
        (e.AttemptRefused(attempt=1, http_status=400, code="bad"), "bad"),
        (e.AttemptRefused(attempt=1, http_status=400, code="bad", message="bad"), "bad"),
        (e.AttemptRefused(attempt=1, http_status=400, code="bad", message="off the grid"), "bad: off the grid"),
        (e.AttemptUnknown(attempt=1, why="no_answer"), "no_answer"),
        (e.AttemptUnknown(attempt=1, why="http_5xx", http_status=502), "http_5xx (HTTP 502)"),
        (
            e.AttemptUnknown(attempt=1, why="unreadable", http_status=200, detail="<html>"),
            "unreadable (HTTP 200): <html>",
        ),
    ],
)
def test_the_reason_is_told_in_words(event: e.Event, detail: str) -> None:
    command = command_in(CommandKind.CREATE, S.ON_WIRE)
    after, _ = replay.apply(command, order_of(command), event)
    assert after.detail == detail


def test_what_parks_a_create_is_named() -> None:
    command = command_in(CommandKind.CREATE, S.IN_DOUBT)
    after, order = replay.apply(command, order_of(command), sample("found_foreign"))
    assert (after.state, after.live, after.reason) == (S.PARKED, (1,), Reason.CONFLICT)
    assert after.detail == "order X holds this id but differs in price"
    assert order.status == "pending"


def test_a_backoff_ends_with_the_next_claim() -> None:
    command = command_in(CommandKind.CREATE, S.ON_WIRE)
    waits = e.NotProcessed(attempt=1, why="not_sent", not_before_us=99)
    after, order = replay.apply(command, order_of(command), waits)
    assert after.not_before_us == 99
    after, _ = replay.apply(after, order, sample("claimed", 2))
    assert (after.not_before_us, after.reason, after.detail) == (0, None, None)
