"""The transition tables, as data: which event moves a command and an order where. PURE.

Every rule of docs/lifecycle.md is one row here, and its pictures are drawn from these tables. Read a row as: in STATE,
EVENT leads to NEXT, or to NEXT_IF_LIVE while another attempt of the command has no definite outcome (an answer settles
only its own attempt; one to an earlier attempt leaves the later one on the wire). Evidence without a row is recorded
and changes nothing, because evidence never raises; a decision of ours without a row is a bug and raises
InvalidTransition. ONLY_FOR says which events are about commands of some kinds only; for the others they have no row.
"""

from dataclasses import dataclass

from oms.lifecycle import events as e
from oms.lifecycle.states import MODIFIES, CommandKind, OrderStatus
from oms.lifecycle.states import CommandState as S


@dataclass(frozen=True, slots=True)
class Rule:
    """Where one event leads."""

    next: S
    next_if_live: S | None = None  # instead, while another attempt may still be live
    otherwise: S | None = None  # instead, where the row's comment says so
    late: bool = False  # the order turned up after we had concluded that it was not there


_YES = Rule(S.ACCEPTED)
_LATE = Rule(S.ACCEPTED, late=True)

COMMAND_TABLE: dict[tuple[S, type[e.Event]], Rule] = {
    # queued: durable, no attempt may be live
    (S.QUEUED, e.Claimed): Rule(S.ON_WIRE),
    (S.QUEUED, e.Withdrawn): Rule(S.WITHDRAWN),
    (S.QUEUED, e.Moot): Rule(S.REFUSED),
    (S.QUEUED, e.Found): _YES,
    (S.QUEUED, e.FoundForeign): Rule(S.PARKED),
    (S.QUEUED, e.Acknowledged): _YES,
    (S.QUEUED, e.CancelAcknowledged): _YES,
    (S.QUEUED, e.AmendAcknowledged): _YES,
    (S.QUEUED, e.DecreaseAcknowledged): _YES,
    (S.QUEUED, e.EffectSeen): _YES,
    # on_wire: one attempt is with a sender of this epoch
    (S.ON_WIRE, e.Acknowledged): _YES,
    (S.ON_WIRE, e.CancelAcknowledged): _YES,
    (S.ON_WIRE, e.AmendAcknowledged): _YES,
    (S.ON_WIRE, e.DecreaseAcknowledged): _YES,
    (S.ON_WIRE, e.Found): _YES,
    (S.ON_WIRE, e.EffectSeen): _YES,
    (S.ON_WIRE, e.NotProcessed): Rule(S.QUEUED, S.IN_DOUBT),
    (S.ON_WIRE, e.AttemptRefused): Rule(S.REFUSED, S.IN_DOUBT),
    (S.ON_WIRE, e.AttemptUnknown): Rule(S.IN_DOUBT, S.IN_DOUBT),
    (S.ON_WIRE, e.IdTaken): Rule(S.IN_DOUBT, S.IN_DOUBT),
    (S.ON_WIRE, e.SenderDied): Rule(S.IN_DOUBT, S.IN_DOUBT),
    (S.ON_WIRE, e.FoundForeign): Rule(S.PARKED),
    # in_doubt: some attempt has no definite outcome
    (S.IN_DOUBT, e.Acknowledged): _YES,
    (S.IN_DOUBT, e.CancelAcknowledged): _YES,
    (S.IN_DOUBT, e.AmendAcknowledged): _YES,
    (S.IN_DOUBT, e.DecreaseAcknowledged): _YES,
    (S.IN_DOUBT, e.Found): _YES,
    (S.IN_DOUBT, e.EffectSeen): _YES,
    (S.IN_DOUBT, e.FoundForeign): Rule(S.PARKED),
    (S.IN_DOUBT, e.NotProcessed): Rule(S.QUEUED, S.IN_DOUBT),
    (S.IN_DOUBT, e.AttemptRefused): Rule(S.REFUSED, S.IN_DOUBT),
    (S.IN_DOUBT, e.IdTaken): Rule(S.IN_DOUBT, S.IN_DOUBT),
    (S.IN_DOUBT, e.AbsenceProven): Rule(S.ABSENT, otherwise=S.REFUSED),  # where the exchange said 409: id_consumed
    (S.IN_DOUBT, e.EffectAbsent): Rule(S.ABSENT),
    (S.IN_DOUBT, e.Moot): Rule(S.REFUSED),
    (S.IN_DOUBT, e.Claimed): Rule(S.ON_WIRE),  # resend = "at_once"
    # absent: proven, watched all the same
    (S.ABSENT, e.Requeued): Rule(S.QUEUED),
    (S.ABSENT, e.Found): _LATE,
    (S.ABSENT, e.Acknowledged): _LATE,
    (S.ABSENT, e.EffectSeen): _YES,
    (S.ABSENT, e.CancelAcknowledged): _YES,
    (S.ABSENT, e.AmendAcknowledged): _YES,
    (S.ABSENT, e.DecreaseAcknowledged): _YES,
    (S.ABSENT, e.FoundForeign): Rule(S.PARKED),
    # refused, withdrawn: final unless the order turns up after all
    (S.REFUSED, e.Found): _LATE,
    (S.REFUSED, e.Acknowledged): _LATE,
    (S.REFUSED, e.CancelAcknowledged): _YES,
    (S.REFUSED, e.AmendAcknowledged): _YES,
    (S.REFUSED, e.DecreaseAcknowledged): _YES,
    (S.WITHDRAWN, e.Found): _LATE,
    (S.WITHDRAWN, e.Acknowledged): _LATE,
    # parked: a person decides, or the exchange shows ours after all
    (S.PARKED, e.Found): _YES,
    (S.PARKED, e.Acknowledged): _YES,
    (S.PARKED, e.EffectSeen): _YES,
    (S.PARKED, e.CancelAcknowledged): _YES,
    (S.PARKED, e.AmendAcknowledged): _YES,
    (S.PARKED, e.DecreaseAcknowledged): _YES,
    (S.PARKED, e.Resolved): Rule(S.ACCEPTED, otherwise=S.ABSENT),  # where the person says that it is not there
}

_CREATES = frozenset({CommandKind.CREATE})
_CHANGES = frozenset({CommandKind.CANCEL, *MODIFIES})

ONLY_FOR: dict[type[e.Event], frozenset[CommandKind]] = {
    e.Acknowledged: _CREATES,
    e.IdTaken: _CREATES,
    e.Found: _CREATES,
    e.FoundForeign: _CREATES,
    e.AbsenceProven: _CREATES,
    e.Resolved: _CREATES,
    e.CancelAcknowledged: frozenset({CommandKind.CANCEL}),
    e.AmendAcknowledged: frozenset({CommandKind.AMEND}),
    e.DecreaseAcknowledged: frozenset({CommandKind.DECREASE}),
    e.EffectSeen: _CHANGES,
    e.EffectAbsent: _CHANGES,
    e.Moot: _CHANGES,
}


def rule_of(kind: CommandKind, state: S, event: type[e.Event]) -> Rule | None:
    """The row for an event in a state; None where the event moves no command of that kind."""
    kinds = ONLY_FOR.get(event)
    if kinds is not None and kind not in kinds:
        return None
    return COMMAND_TABLE.get((state, event))


# Where an order's status may go. Terminal statuses of the exchange never reopen; unsent and rejected become live
# only flagged `late`.
ORDER_TABLE: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset(
        {
            OrderStatus.RESTING,
            OrderStatus.EXECUTED,
            OrderStatus.CANCELED,
            OrderStatus.REJECTED,
            OrderStatus.UNSENT,
        }
    ),
    OrderStatus.RESTING: frozenset({OrderStatus.EXECUTED, OrderStatus.CANCELED}),
    OrderStatus.EXECUTED: frozenset(),
    OrderStatus.CANCELED: frozenset(),
    OrderStatus.REJECTED: frozenset({OrderStatus.RESTING, OrderStatus.EXECUTED, OrderStatus.CANCELED}),
    OrderStatus.UNSENT: frozenset({OrderStatus.RESTING, OrderStatus.EXECUTED, OrderStatus.CANCELED}),
}


def may_move(before: OrderStatus, after: OrderStatus) -> bool:
    """Whether an order may go from one status to the other; staying is always allowed."""
    return before is after or after in ORDER_TABLE[before]
