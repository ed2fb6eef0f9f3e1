"""Events survive the ledger byte for byte, and their words are fixed."""

import pytest
from histories import WORDS, sample

from oms.lifecycle import events as e
from oms.lifecycle.states import Action, CommandKind, Outcome

# The `kind` column of every ledger ever made. Adding a word is free; changing or removing one breaks old ledgers.
RELEASED = """
recorded claimed withdrawn sender_died absence_proven requeued resolved moot effect_absent
acknowledged cancel_acknowledged amend_acknowledged decrease_acknowledged
not_processed attempt_refused attempt_unknown id_taken
found found_foreign effect_seen observed filled duplicate_seen duplicate_settled
"""

RECORDED = e.Recorded(
    kind=CommandKind.CREATE, body='{"ticker":"T"}', action=Action.SELL, outcome=Outcome.NO, own_id=True, tag="é \u2028"
)


def test_the_words_of_events_are_fixed() -> None:
    assert sorted(RELEASED.split()) == sorted(e.kind_of(event) for event in [RECORDED, *map(sample, WORDS)])
    assert len(e.ALL_EVENTS) == len(RELEASED.split())


@pytest.mark.parametrize("event", [RECORDED, e.Recorded(kind=CommandKind.CANCEL), *map(sample, WORDS)], ids=e.kind_of)
def test_an_event_read_back_is_the_event(event: e.Event) -> None:
    text = e.encode(event)
    again = e.decode(e.kind_of(event), text)
    assert again == event
    assert type(again) is type(event)
    assert e.encode(again) == text, "the hash chain rests on equal bytes"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("abducted", "{}"),
        ("claimed", "{}"),
        ("claimed", "not json"),
        ("claimed", '{"event":"withdrawn","reason":"expired"}'),
        ("withdrawn", '{"event":"withdrawn","reason":"boredom"}'),
        ("claimed", '{"event":"claimed","attempt":1.5,"epoch":1,"signed_ms":1,"at_us":1}'),
    ],
)
def test_what_is_no_event_is_not_read_as_one(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        e.decode(kind, text)


def test_evidence_and_decisions_are_all_there_is() -> None:
    assert set(e.ALL_EVENTS) == {e.Recorded, *e.DECISIONS, *e.EVIDENCE}
    assert not set(e.DECISIONS) & set(e.EVIDENCE)
