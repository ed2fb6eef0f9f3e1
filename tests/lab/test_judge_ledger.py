"""Every rule about the ledger alone finds what is planted for it, and is silent on a ledger that the real oms wrote."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from oms.lab.judge import RULES, Finding, Told, examine, judge
from tests.lab.judged import Pair, made, pair

__all__ = ["made", "pair"]

Plant = Callable[[Pair], None]
DIGEST = b"0123456789abcdef"


def test_a_pair_that_the_real_oms_made_has_nothing_wrong(pair: Pair) -> None:
    assert pair.judged() == []
    checked = examine(
        pair.ledger, pair.exchange, is_quiet=True, is_level=True, is_alone=True, is_timely=True, told=answers(pair)
    )
    assert [each.rule for each in checked] == list(RULES)
    assert all(each.seen for each in checked), "a rule that looks at nothing proves nothing"


def test_a_ledger_alone_is_judged_by_the_rules_that_need_no_more(pair: Pair) -> None:
    assert judge(pair.ledger, None, is_settled=True) == []
    alone = examine(pair.ledger, None, is_quiet=False, is_level=False, is_alone=True)
    assert {each.rule.needs for each in alone} == {"ledger"}


def test_a_clock_that_may_have_been_set_accuses_nobody(pair: Pair) -> None:
    """`oms verify` does not know: a claim of a clock that was ahead looks as if it had come after the next run."""
    opened_later(pair)
    assert {each.invariant for each in pair.judged()} == {"I17"}
    checked = examine(pair.ledger, pair.exchange, is_quiet=True, is_level=True, is_alone=True)
    assert [each.findings for each in checked if each.findings] == []


def answers(pair: Pair) -> list[Told]:
    """What somebody was told who asked for all orders."""
    with closing(sqlite3.connect(pair.ledger)) as database:
        return [
            Told(*row)
            for row in database.execute("SELECT client_order_id, status, order_id, fill_count_e2 FROM orders")
        ]


def found_by(pair: Pair, name: str) -> tuple[Finding, ...]:
    """What the rule of that name finds, the exchange not being asked."""
    checked = examine(pair.ledger, None, is_quiet=True, is_level=False, is_alone=True, is_timely=True)
    return next(each.findings for each in checked if each.rule.name == name)


# -- the file and what was recorded -----------------------------------------------------------------------------------


def other_revision(pair: Pair) -> None:
    pair.spoil("UPDATE alembic_version SET version_num = '9999'")


def two_revisions(pair: Pair) -> None:
    pair.spoil("INSERT INTO alembic_version VALUES ('0000')")


def other_kind_of_file(pair: Pair) -> None:
    with closing(sqlite3.connect(pair.ledger)) as database:
        database.execute("PRAGMA application_id = 7")


def set_back(pair: Pair) -> None:
    mark = pair.ledger.with_name(f"{pair.ledger.name}.mark")
    told = json.loads(mark.read_text())
    mark.write_text(json.dumps({**told, "seq": told["seq"] + 1}))


def fewer_runs(pair: Pair) -> None:
    mark = pair.ledger.with_name(f"{pair.ledger.name}.mark")
    mark.write_text(json.dumps({**json.loads(mark.read_text()), "epoch": 99}))


def missing_row(pair: Pair) -> None:
    pair.spoil("UPDATE batches SET row_count = row_count + 1 WHERE name = 'mixed'")


def sent_from_half_a_batch(pair: Pair) -> None:
    pair.spoil("UPDATE batches SET state = 'recording' WHERE name = 'mixed'")


def second_create(pair: Pair) -> None:
    pair.spoil("UPDATE commands SET kind = 'create' WHERE kind = 'cancel'")


def other_batch(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET batch_key = (SELECT min(key) FROM batches) WHERE own_id = 0 AND row = 7")


def other_digest(pair: Pair) -> None:
    pair.spoil("UPDATE commands SET digest = ? WHERE key = 1", DIGEST)


def other_price(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET price_e6 = price_e6 + 1 WHERE status = 'resting'")


def unnamed_record(pair: Pair) -> None:
    pair.spoil("UPDATE commands SET recorded_seq = 999999 WHERE key = 1")


def float_in_an_event(pair: Pair) -> None:
    pair.tell(pair.one("status = 'executed'")["key"], "filled", trade_id="t", count_e2=1.5, price_e6=1, fee_e6=0)


def float_in_a_column(pair: Pair) -> None:
    with closing(sqlite3.connect(pair.ledger)) as database:
        database.executescript(
            "CREATE TABLE loose AS SELECT * FROM positions; DROP TABLE positions;"
            "ALTER TABLE loose RENAME TO positions; UPDATE positions SET exposure_e6 = 0.1"
        )


# -- histories --------------------------------------------------------------------------------------------------------


def changed_event(pair: Pair) -> None:
    pair.spoil("UPDATE events SET data = replace(data, '\"attempt\":2', '\"attempt\":7') WHERE kind = 'acknowledged'")


def lost_last_event(pair: Pair) -> None:
    pair.spoil("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")


def lost_order(pair: Pair) -> None:
    pair.spoil("DELETE FROM orders WHERE status = 'rejected'")


def other_status(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET status = 'executed' WHERE status = 'resting'")


def fewer_attempts(pair: Pair) -> None:
    pair.spoil("UPDATE commands SET attempts = attempts + 1 WHERE key = 1")


def lost_command(pair: Pair) -> None:
    pair.spoil("DELETE FROM commands WHERE kind = 'cancel'")


def strange_event(pair: Pair) -> None:
    pair.tell(pair.one("status = 'executed'")["key"], "filled", trade_id="t")


def sent_after_acceptance(pair: Pair) -> None:
    key = pair.one("status = 'resting'")["key"]
    pair.tell(key, "claimed", pair.command(key), attempt=2, epoch=1, signed_ms=1, at_us=1)


def queued_after_its_end(pair: Pair) -> None:
    pair.spoil(
        "UPDATE events SET data = replace(data, '\"final\":false', '\"final\":true') WHERE kind = 'absence_proven'"
    )


def absent_by_old_data(pair: Pair) -> None:
    pair.spoil(
        "UPDATE events SET data = replace(data, '\"as_of_ms\":', '\"as_of_ms\":-') WHERE kind = 'absence_proven'"
    )


def doubt_forgotten(pair: Pair) -> None:
    key = pair.one("status = 'rejected'")["key"]
    pair.spoil("DELETE FROM events WHERE kind = 'attempt_refused' AND order_key = ?", key)


def trouble_taken_for_refusal(pair: Pair) -> None:
    key = pair.one("status = 'rejected'")["key"]
    pair.tell(key, "attempt_refused", pair.command(key), attempt=1, http_status=503, code="busy")


def _refused(pair: Pair, http_status: int, code: str) -> None:
    change = "UPDATE events SET data = json_set(data, '$.http_status', ?, '$.code', ?) WHERE kind = 'attempt_refused'"
    pair.spoil(change, http_status, code)
    pair.rechain()


def rate_limit_taken_for_refusal(pair: Pair) -> None:
    _refused(pair, 429, "too_many_requests")


def refused_key_taken_for_refusal(pair: Pair) -> None:
    _refused(pair, 401, "unauthorized")


def timeout_taken_for_refusal(pair: Pair) -> None:
    _refused(pair, 408, "timeout")


def duplicate_taken_for_refusal(pair: Pair) -> None:
    _refused(pair, 409, "order_already_exists")


def pause_taken_for_refusal(pair: Pair) -> None:
    _refused(pair, 409, "TRADING_IS_PAUSED")


def order_id_without_proof(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET order_id = 'made up ' || key WHERE status = 'resting'")


def order_id_of_another(pair: Pair) -> None:
    other = pair.one("status = 'executed'")["order_id"]
    with closing(sqlite3.connect(pair.ledger)) as database:
        database.execute("DROP INDEX ux_orders_order_id")
        database.commit()
    pair.spoil("UPDATE orders SET order_id = ? WHERE status = 'resting'", other)


def accepted_without_order_id(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET order_id = NULL WHERE status = 'resting'")


def found_under_an_own_id(pair: Pair) -> None:
    """The order that was found for a lost answer under a caller's own id is another one."""
    key = pair.one("client_order_id = 'lostTrue'")["key"]
    change = "UPDATE events SET data = json_set(data, '$.order.initial_count_e2', 7) WHERE kind = 'found'"
    pair.spoil(f"{change} AND order_key = ?", key)
    pair.rechain()


def impossible_decision(pair: Pair) -> None:
    key = pair.one("status = 'resting'")["key"]
    pair.tell(key, "withdrawn", pair.command(key), reason="expired")


def attempt_left_out(pair: Pair) -> None:
    key = pair.one("client_order_id = 'lostFalse'")["key"]
    pair.spoil("UPDATE events SET data = replace(data, '\"attempt\":2', '\"attempt\":3') WHERE order_key = ?", key)


def fill_count_fell(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET fill_count_e2 = fill_count_e2 - 1 WHERE status = 'executed'")


def reopened(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET status = 'resting' WHERE status = 'canceled'")


def overfilled(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET fill_count_e2 = count_e2 + 1 WHERE status = 'executed'")


def trade_counted_twice(pair: Pair) -> None:
    order = pair.one("status = 'executed'")
    with closing(sqlite3.connect(pair.ledger)) as database:
        query = "SELECT data FROM events WHERE kind = 'filled' AND order_key = ?"
        told = json.loads(database.execute(query, (order["key"],)).fetchone()[0])
    told.pop("event", None)
    pair.tell(order["key"], "filled", **told)


def trade_of_no_event(pair: Pair) -> None:
    pair.spoil("UPDATE fills SET trade_id = 'not ' || trade_id")


def other_fee(pair: Pair) -> None:
    pair.spoil("UPDATE fills SET fee_e6 = fee_e6 + 1")


def other_sum(pair: Pair) -> None:
    pair.spoil("UPDATE orders SET traded_count_e2 = traded_count_e2 + 1 WHERE status = 'executed'")


def claimed_by_a_run_that_is_over(pair: Pair) -> None:
    pair.spoil("UPDATE events SET epoch = 1 WHERE seq = (SELECT max(seq) FROM events WHERE kind = 'claimed')")


def run_of_nobody(pair: Pair) -> None:
    pair.spoil("DELETE FROM epochs WHERE epoch = 2")


def opened_later(pair: Pair) -> None:
    """The second run begins before the first has made its last claim, and there is no event that says it."""
    last = "(SELECT max(at_us) FROM events WHERE kind = 'claimed' AND epoch = 1)"
    pair.spoil(f"UPDATE epochs SET opened_at_us = {last} - 1 WHERE epoch = 2")


def halted_before(pair: Pair, kind: str) -> None:
    last = (
        "(SELECT max(e.at_us) FROM events e JOIN commands c ON c.key = e.command_key"
        f" WHERE e.kind = 'claimed' AND c.kind = '{kind}')"
    )
    pair.spoil(f"INSERT INTO controls (name, reason, at_us) SELECT 'halt', 'by hand', {last} - 1")


def halted_earlier(pair: Pair) -> None:
    halted_before(pair, "create")


def out_of_time(pair: Pair) -> None:
    claimed = "(SELECT max(at_us) FROM events WHERE kind = 'claimed' AND command_key = commands.key)"
    pair.spoil(f"UPDATE commands SET expires_at_us = {claimed} WHERE key = 1")


def run_numbers_fell(pair: Pair) -> None:
    pair.spoil("UPDATE ledger SET epoch = 1")


def work_left(pair: Pair) -> None:
    pair.spoil("UPDATE commands SET state = 'queued' WHERE key = 1")


# -- actions ----------------------------------------------------------------------------------------------------------


def changed_action(pair: Pair) -> None:
    pair.spoil("UPDATE action_events SET at_us = at_us + 1 WHERE kind = 'done'")


def lost_action(pair: Pair) -> None:
    pair.spoil("DELETE FROM actions WHERE key = 1")


def other_state_of_an_action(pair: Pair) -> None:
    pair.spoil("UPDATE actions SET state = 'refused' WHERE key = 1")


def other_request_of_an_action(pair: Pair) -> None:
    pair.spoil("UPDATE actions SET body = '{}' WHERE kind = 'group_create'")


def group_made_again(pair: Pair) -> None:
    pair.tell_action(1, "claimed", attempt=2, epoch=1, signed_ms=1)


def absent_too_early(pair: Pair) -> None:
    pair.tell_action(1, "effect_missing", as_of_ms=7, fence_ms=7)


def action_left(pair: Pair) -> None:
    pair.spoil("UPDATE actions SET state = 'queued' WHERE key = 1")


PLANTED: list[tuple[Plant, str, str]] = [
    (changed_action, "I12", "chains of actions"),
    (lost_action, "I12", "chains of actions"),
    (other_state_of_an_action, "I12", "actions against their events"),
    (other_request_of_an_action, "I12", "actions against their events"),
    (group_made_again, "I10", "moves of actions"),
    (absent_too_early, "I8", "ends of actions in doubt"),
    (action_left, "I23", "no action left to do"),
    (other_revision, "I22", "revision and kind of the file"),
    (two_revisions, "I22", "revision and kind of the file"),
    (other_kind_of_file, "I22", "revision and kind of the file"),
    (set_back, "I20", "the mark beside the ledger"),
    (fewer_runs, "I20", "the mark beside the ledger"),
    (changed_event, "I12", "chains of events"),
    (lost_last_event, "I12", "chains of events"),
    (lost_order, "I12", "chains of events"),
    (other_status, "I12", "rows against events"),
    (fewer_attempts, "I12", "rows against events"),
    (lost_command, "I12", "rows against events"),
    (strange_event, "I12", "rows against events"),
    (float_in_an_event, "I19", "whole numbers"),
    (float_in_a_column, "I19", "whole numbers"),
    (missing_row, "I14", "whole batches"),
    (second_create, "I2", "ids of intents"),
    (other_batch, "I2", "ids of intents"),
    (other_digest, "I5", "recorded requests"),
    (other_price, "I5", "recorded requests"),
    (unnamed_record, "I5", "recorded requests"),
    (sent_from_half_a_batch, "I1", "batches in recording"),
    (sent_after_acceptance, "I6", "attempts after an outcome"),
    (queued_after_its_end, "I6", "attempts after an outcome"),
    (absent_by_old_data, "I8", "ends of doubt"),
    (doubt_forgotten, "I8", "ends of doubt"),
    (trouble_taken_for_refusal, "I8", "ends of doubt"),
    (rate_limit_taken_for_refusal, "I8", "ends of doubt"),
    (refused_key_taken_for_refusal, "I8", "ends of doubt"),
    (timeout_taken_for_refusal, "I8", "ends of doubt"),
    (duplicate_taken_for_refusal, "I8", "ends of doubt"),
    (pause_taken_for_refusal, "I8", "ends of doubt"),
    (order_id_without_proof, "I9", "proofs of acceptance"),
    (order_id_of_another, "I9", "proofs of acceptance"),
    (accepted_without_order_id, "I9", "proofs of acceptance"),
    (found_under_an_own_id, "I21", "orders found under own ids"),
    (impossible_decision, "I10", "moves of commands"),
    (attempt_left_out, "I10", "moves of commands"),
    (fill_count_fell, "I10", "status and fill_count"),
    (reopened, "I10", "status and fill_count"),
    (overfilled, "I10", "status and fill_count"),
    (trade_counted_twice, "I11", "trades of the ledger"),
    (trade_of_no_event, "I11", "trades of the ledger"),
    (other_fee, "I11", "trades of the ledger"),
    (other_sum, "I11", "trades of the ledger"),
    (claimed_by_a_run_that_is_over, "I17", "runs, one after another"),
    (run_of_nobody, "I17", "runs, one after another"),
    (run_numbers_fell, "I17", "runs, one after another"),
    (opened_later, "I17", "runs, by their times"),
    (halted_earlier, "I16", "claims while halted"),
    (out_of_time, "I16", "claims past their time"),
    (work_left, "I23", "nothing left to do"),
]


@pytest.mark.parametrize(("plant", "invariant", "rule"), PLANTED, ids=[plant.__name__ for plant, _, _ in PLANTED])
def test_what_is_planted_is_found_by_its_rule(pair: Pair, plant: Plant, invariant: str, rule: str) -> None:
    plant(pair)
    found = found_by(pair, rule)
    assert {each.invariant for each in found} == {invariant}
    assert all(each.sentence for each in found)
    assert set(found) <= set(judge(pair.ledger, None, is_settled=True))


def test_every_rule_about_the_ledger_has_its_breach() -> None:
    mine = {rule.name for rule in RULES if rule.needs in ("ledger", "clock", "quiet")}
    assert {rule for _, _, rule in PLANTED} == mine


def test_a_rechained_lie_is_found_by_what_it_says(pair: Pair) -> None:
    """Whoever computes the whole chain anew has hidden nothing from the other rules."""
    trade_counted_twice(pair)
    assert found_by(pair, "chains of events") == ()
    assert found_by(pair, "trades of the ledger")


def test_a_halt_does_not_stop_cancels(pair: Pair) -> None:
    """Seeds 272 and 308: the judge took the cancels of a clearing for claims that its halt should have stopped."""
    halted_before(pair, "cancel")
    assert pair.judged() == []


def test_unfinished_work_is_no_breach_while_it_may_be_under_way(pair: Pair) -> None:
    key = pair.one("status = 'rejected'")["key"]
    pair.spoil("UPDATE commands SET state = 'queued', live = '' WHERE order_key = ?", key)
    pair.spoil("UPDATE orders SET status = 'pending', reason = NULL WHERE key = ?", key)
    names = {each.rule.name for each in examine(pair.ledger, None, is_quiet=False, is_level=False, is_alone=True)}
    assert "nothing left to do" not in names


def test_judging_changes_no_file_and_leaves_none_behind(pair: Pair) -> None:
    place = pair.ledger.parent
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    pair.judged()
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_a_ledger_in_use_is_read_with_what_is_not_checkpointed_yet(pair: Pair) -> None:
    with closing(sqlite3.connect(pair.ledger, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE ledger SET epoch = 1")
        assert pair.ledger.with_name(f"{pair.ledger.name}-wal").stat().st_size > 0
        writer.execute("BEGIN IMMEDIATE")  # a writer in mid-turn neither waits nor is waited for
        writer.execute("UPDATE ledger SET epoch = 2")
        assert {each.invariant for each in judge(pair.ledger, None, is_settled=True)} == {"I17", "I20"}
        writer.execute("COMMIT")
        assert writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "no reader was left behind"


def test_a_file_that_is_none_is_an_error_and_never_agreement(pair: Pair, tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"not a database" * 100)
    for ledger in (tmp_path / "missing", junk, pair.exchange):
        with pytest.raises((sqlite3.Error, OSError)):
            judge(ledger, None, is_settled=True)
    with pytest.raises((sqlite3.Error, OSError)):
        judge(pair.ledger, pair.ledger, is_settled=True)


# -- what callers were told -------------------------------------------------------------------------------------------


def told(pair: Pair, *answers: Told) -> list[Finding]:
    return judge(pair.ledger, None, is_settled=True, told=answers)


def test_what_was_told_is_borne_out_by_the_ledger(pair: Pair) -> None:
    name = pair.one("status = 'executed'")["client_order_id"]
    assert told(pair, *answers(pair)) == []
    assert told(pair, Told(name, "pending"), Told(name, "resting")) == []


@pytest.mark.parametrize(
    ("where", "status"),
    [
        ("status = 'resting'", "executed"),
        ("status = 'executed'", "canceled"),
        ("status = 'resting'", "rejected"),
        ("status = 'rejected'", "resting"),
    ],
)
def test_an_answer_that_was_taken_back_is_found(pair: Pair, where: str, status: str) -> None:
    name = pair.one(where)["client_order_id"]
    (finding,) = told(pair, Told(name, status))
    assert (finding.invariant, finding.client_order_id) == ("I13", name)


def test_another_order_or_less_filled_than_was_told_is_found(pair: Pair) -> None:
    order = pair.one("status = 'executed'")
    name, order_id, filled = order["client_order_id"], order["order_id"], order["fill_count_e2"]
    (other,) = told(pair, Told(name, "executed", "another"))
    (less,) = told(pair, Told(name, "executed", order_id, filled + 1))
    assert (other.invariant, less.invariant) == ("I13", "I13")
    assert "another" in other.sentence
    assert f"filled by {filled + 1}" in less.sentence


def test_an_answer_about_an_order_that_was_lost_is_found(pair: Pair) -> None:
    assert [each.invariant for each in told(pair, Told("gone", "pending"))] == ["I13"]
