"""Actions: their table, what readings say of them, and that nothing but evidence ends a doubt."""

import itertools
from typing import Any

import pytest

from oms.errors import InvalidTransition
from oms.lifecycle import events as e
from oms.lifecycle.actions import (
    ACTION_EVENTS,
    ACTION_TABLE,
    WAYS_OUT,
    Action,
    ActionRecorded,
    Decided,
    Done,
    EffectMissing,
    EffectShown,
    GroupSeen,
    Reading,
    Undecidable,
    apply_action,
    begin_action,
    decode_action,
    encode_action,
    settle_group,
)
from oms.lifecycle.states import ActionKind, Reason
from oms.lifecycle.states import CommandState as S

FENCE_MS = 1_000
SAMPLES: dict[type[e.Event], e.Event] = {
    e.Claimed: e.Claimed(attempt=1, epoch=1, signed_ms=5, at_us=5),
    e.Withdrawn: e.Withdrawn(reason=Reason.EXPIRED),
    e.SenderDied: e.SenderDied(epoch=2),
    e.Requeued: e.Requeued(),
    e.Moot: e.Moot(detail="gone"),
    e.NotProcessed: e.NotProcessed(attempt=1, why="not_sent"),
    e.AttemptRefused: e.AttemptRefused(attempt=1, http_status=400, code="bad"),
    e.AttemptUnknown: e.AttemptUnknown(attempt=1, why="no_answer"),
    Done: Done(attempt=1, order_group_id="g"),
    EffectShown: EffectShown(as_of_ms=9, order_group_id="g"),
    EffectMissing: EffectMissing(as_of_ms=9, fence_ms=8),
    Undecidable: Undecidable(as_of_ms=9, detail="two"),
    Decided: Decided(order_group_id="g"),
}


def recorded(kind: ActionKind, **more: Any) -> ActionRecorded:
    body = '{"contracts_limit_fp":"5.00"}' if kind in (ActionKind.GROUP_CREATE, ActionKind.GROUP_LIMIT) else ""
    return ActionRecorded(kind=kind, **{"target": "g", "body": body, **more})


def claimed(action: Action) -> Action:
    return apply_action(action, e.Claimed(attempt=action.attempts + 1, epoch=1, signed_ms=5, at_us=5))


def doubtful(kind: ActionKind) -> Action:
    return apply_action(claimed(Action(kind=kind)), SAMPLES[e.AttemptUnknown])


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, SAMPLES)))
def test_every_event_in_every_state_follows_the_table_or_changes_nothing(state: S, event: type[e.Event]) -> None:
    live = (1,) if state in (S.ON_WIRE, S.IN_DOUBT, S.PARKED) else ()
    attempts = 0 if event is e.Claimed and state in (S.QUEUED, S.IN_DOUBT) else 1
    action = Action(kind=ActionKind.GROUP_TRIGGER, state=state, attempts=attempts, live=live, last_signed_ms=5)
    rule = ACTION_TABLE.get((state, event))
    try:
        after = apply_action(action, SAMPLES[event])
    except InvalidTransition:
        assert rule is None
        return
    assert after.state is (rule[0] if rule is not None else state)
    assert (after.live != ()) == (after.state in (S.ON_WIRE, S.IN_DOUBT) or (after.state is S.PARKED and live != ()))


def test_only_a_definite_no_to_every_attempt_refuses() -> None:
    twice = claimed(doubtful(ActionKind.CANCEL_ALL))
    assert (twice.state, twice.live) == (S.ON_WIRE, (1, 2))
    after = apply_action(twice, e.AttemptRefused(attempt=2, http_status=403, code="no"))
    assert (after.state, after.live) == (S.IN_DOUBT, (1,))
    assert apply_action(twice, e.NotProcessed(attempt=2, why="not_sent")).state is S.IN_DOUBT


@pytest.mark.parametrize("kind", ActionKind)
def test_only_ways_out_are_sent_again_while_in_doubt(kind: ActionKind) -> None:
    if kind in WAYS_OUT:
        assert claimed(doubtful(kind)).attempts == 2
    else:
        with pytest.raises(InvalidTransition):
            claimed(doubtful(kind))


def test_a_group_that_was_not_made_is_never_made_again_by_itself() -> None:
    absent = apply_action(doubtful(ActionKind.GROUP_CREATE), SAMPLES[EffectMissing])
    assert absent.state is S.ABSENT
    with pytest.raises(InvalidTransition):
        apply_action(absent, e.Requeued())


def test_a_person_decides_what_cannot_be_told() -> None:
    parked = apply_action(doubtful(ActionKind.GROUP_CREATE), SAMPLES[Undecidable])
    assert (parked.state, parked.reason) == (S.PARKED, Reason.CONFLICT)
    assert apply_action(parked, Decided(order_group_id="g")).state is S.ACCEPTED
    assert apply_action(parked, Decided(order_group_id=None)).state is S.ABSENT


@pytest.mark.parametrize("event", [*SAMPLES.values(), recorded(ActionKind.GROUP_CREATE, before=("a", "b"))])
def test_events_survive_being_written_down(event: e.Event) -> None:
    assert decode_action(*encode_action(event)) == event


def test_every_event_of_its_own_is_tried_here() -> None:
    assert set(ACTION_EVENTS) <= {*SAMPLES, ActionRecorded}
    with pytest.raises(ValueError, match="unknown"):
        decode_action("recorded", "{}")


# -- readings --------------------------------------------------------------------------------------------------------


def group(name: str = "g", *, triggered: bool = False, limit_e2: int | None = 500) -> GroupSeen:
    return GroupSeen(order_group_id=name, is_triggered=triggered, contracts_limit_e2=limit_e2)


def settled(kind: ActionKind, *groups: GroupSeen, at_ms: int = FENCE_MS, **more: Any) -> str:
    reading = Reading(as_of_ms=at_ms, groups={each.order_group_id: each for each in groups})
    event = settle_group(doubtful(kind), recorded(kind, **more), reading, FENCE_MS)
    return "nothing" if event is None else type(event).__name__


EARLY = FENCE_MS - 1
K = ActionKind


@pytest.mark.parametrize(
    ("kind", "groups", "at_ms", "expected"),
    [
        (K.GROUP_DELETE, (), EARLY, "EffectShown"),
        (K.GROUP_DELETE, (group(),), EARLY, "nothing"),
        (K.GROUP_DELETE, (group(),), FENCE_MS, "EffectMissing"),
        (K.GROUP_TRIGGER, (group(triggered=True),), EARLY, "EffectShown"),
        (K.GROUP_TRIGGER, (group(),), EARLY, "nothing"),
        (K.GROUP_TRIGGER, (group(),), FENCE_MS, "EffectMissing"),
        (K.GROUP_TRIGGER, (), EARLY, "nothing"),
        (K.GROUP_TRIGGER, (), FENCE_MS, "Moot"),
        (K.GROUP_LIMIT, (group(limit_e2=500),), EARLY, "nothing"),
        (K.GROUP_LIMIT, (group(limit_e2=500),), FENCE_MS, "EffectShown"),
        (K.GROUP_LIMIT, (group(limit_e2=600),), FENCE_MS, "EffectMissing"),
        (K.GROUP_RESET, (group(),), FENCE_MS, "EffectMissing"),
        (K.GROUP_CREATE, (), EARLY, "nothing"),
        (K.GROUP_CREATE, (), FENCE_MS, "EffectMissing"),
        (K.GROUP_CREATE, (group("new"),), EARLY, "nothing"),
        (K.GROUP_CREATE, (group("new"),), FENCE_MS, "EffectShown"),
        (K.GROUP_CREATE, (group("new", limit_e2=600),), FENCE_MS, "EffectMissing"),
        (K.GROUP_CREATE, (group("new"), group("other", limit_e2=600)), FENCE_MS, "EffectShown"),
        (K.GROUP_CREATE, (group("new"), group("newer")), EARLY, "Undecidable"),
        (K.GROUP_CREATE, (group("new", limit_e2=None),), FENCE_MS, "Undecidable"),
    ],
)
def test_what_a_list_of_groups_says(kind: ActionKind, groups: tuple[GroupSeen, ...], at_ms: int, expected: str) -> None:
    assert settled(kind, *groups, at_ms=at_ms) == expected


def test_a_group_that_was_there_before_is_not_the_new_one() -> None:
    assert settled(K.GROUP_CREATE, group("old"), before=("old",)) == "EffectMissing"
    assert settled(K.GROUP_CREATE, group("old"), group("new"), before=("old",)) == "EffectShown"


def test_an_action_begins_queued() -> None:
    assert begin_action(recorded(K.CANCEL_ALL)) == Action(kind=K.CANCEL_ALL)
