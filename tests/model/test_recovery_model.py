"""P2, exhaustively: with every rule no way leads to a second order, and with any one rule left out some way does.

Each search goes through every order of events within its bounds. `python tests/model/test_recovery_model.py` prints
the shortest way to a duplicate for each rule.
"""

from dataclasses import replace
from functools import cache

import pytest
from model_search import Found, search
from model_world import RULES, World

from oms.lifecycle.states import Resend

# The exchange looks at timestamps; the network may keep a request for ever; ids count only among open orders.
FENCED = World(ticks=6)
# The same, and the clock that signs jumps by as much as the exchange tolerates, either way.
JUMPING = World(ticks=5, attempts=2, clock_errors=(-1, 0, 1))
# The user wants nothing sent twice: what is absent is recorded again by hand, under a new id.
BY_HAND = World(ticks=5, attempts=2, resend=Resend.NEVER)
# The exchange looks at no timestamp; then the age of a claim and a network that gives up have to do.
UNFENCED = World(ticks=6, attempts=2, skew=None, flight=1, horizon=4)
# resend = "at_once", which rests on the exchange keeping ids for ever.
AT_ONCE = World(
    ticks=4, attempts=2, resend=Resend.AT_ONCE, dedupe_forever=True, skew=0, commit=0, horizon=1, expires=True
)
# An old copy of the ledger is put back while nothing of it is under way.
PUT_BACK = World(ticks=4, attempts=2, rollbacks=1)
# It is put back while a request is under way: the exception of P2, which only the exchange's own ids cover.
LOST = World(ticks=4, attempts=2, rollbacks=1, rollback_in_flight=True, dedupe_forever=True, refuses=False)

WORLDS = {
    "fenced": FENCED,
    "jumping clock": JUMPING,
    "by hand": BY_HAND,
    "unfenced": UNFENCED,
    "at once": AT_ONCE,
    "put back": PUT_BACK,
    "lost": LOST,
}
# Where leaving out the rule shows; in the others something else may cover for it. Two attempts are enough to do wrong.
SHORT = replace(FENCED, ticks=4, attempts=2)
SHOWS_IN = {
    "write_ahead": SHORT,
    "died_is_doubt": SHORT,
    "unknown_is_doubt": SHORT,
    "signed_once": SHORT,
    "fence": SHORT,
    "latest_attempt": replace(FENCED, ticks=4),
    "as_of_first": SHORT,
    "complete": SHORT,
    "witnessed": SHORT,
    "same_user": SHORT,
    "claim_age": UNFENCED,
    "own_attempt": AT_ONCE,
    "first_attempt": AT_ONCE,
    "one_id": AT_ONCE,
    "account_read": PUT_BACK,
    "taken_is_doubt": LOST,
}


searched = cache(search)


def without(rule: str) -> Found:
    return search(replace(SHOWS_IN[rule], off=frozenset({rule})))


@pytest.mark.parametrize("name", WORLDS)
def test_with_every_rule_no_way_leads_to_a_second_order(name: str) -> None:
    found = searched(WORLDS[name])
    assert not found.trace, "\n".join(found.trace)
    assert found.states > 5_000, "a model in which little can happen proves little"


@pytest.mark.parametrize("rule", RULES)
def test_with_any_rule_left_out_some_way_leads_to_a_second_order(rule: str) -> None:
    assert without(rule).trace, f"nothing shows that this rule is needed: {RULES[rule]}"


def test_the_search_meets_what_the_rules_are_for() -> None:
    met = searched(FENCED).met
    for wanted in (
        "accepted after 1, 1 at the exchange",
        "accepted after 2, 1 at the exchange",  # sent again once its absence was proven
        "refused after 1, 0 at the exchange",
        "in_doubt after 2, 1 at the exchange",
        "queued after 1, 0 at the exchange",
    ):
        assert met[wanted], wanted
    assert not any(state.startswith("queued") and state.endswith("1 at the exchange") for state in met)


def test_a_ledger_lost_with_requests_under_way_needs_ids_that_are_kept_for_ever() -> None:
    """The limit that P2 names: nothing on our side knows of those requests."""
    assert search(replace(LOST, dedupe_forever=False)).trace


def test_at_once_needs_ids_that_are_kept_for_ever() -> None:
    """What the user chooses with it."""
    assert search(replace(AT_ONCE, dedupe_forever=False)).trace


def test_a_horizon_shorter_than_the_exchange_takes_is_not_enough() -> None:
    assert search(replace(FENCED, horizon=1)).trace


if __name__ == "__main__":
    for rule, meaning in RULES.items():
        print(f"without {rule} ({meaning}):", *without(rule).trace, "", sep="\n  ")
