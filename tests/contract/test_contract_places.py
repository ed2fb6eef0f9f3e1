"""Design section 8 by real processes: environments, keys, configuration, and commands that only read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.canary import ROOT
from tests.contract.shells import Answer, Shell
from tests.contract.worlds import flags, row

FLAGS = flags()


def failed(answer: Answer, code: int, word: str) -> dict[str, str]:
    assert answer.code == code, answer
    assert answer.json["ok"] is False
    error: dict[str, str] = answer.json["error"]
    assert error["code"] == word, error
    return error


def as_demo(shell: Shell, **more: str | None) -> dict[str, str | None]:
    """The variables that make an exchange on this machine the demo exchange."""
    return {
        "OMS_ENVIRONMENT": "demo",
        "OMS_VENUE__DEMO__BASE_URL": shell.base_url,
        "OMS_VENUE__SANDBOX__BASE_URL": None,
        **more,
    }


def files(shell: Shell) -> set[str]:
    """Everything below the home directory."""
    return {str(path.relative_to(shell.home)) for path in shell.home.rglob("*")}


def ledger_of(shell: Shell, environment: str) -> Path:
    return shell.ledger.with_name(f"ledger.{environment}.sqlite3")


# -- reading creates nothing


@pytest.mark.fault(28)
@pytest.mark.parametrize(
    "words",
    [["orders"], ["batches"], ["why", "x" * 8], ["db", "check"], ["cancel", "x" * 8], ["withdraw", "x" * 8]],
    ids=" ".join,
)
def test_a_command_on_a_missing_ledger_says_so_and_creates_nothing(shell: Shell, words: list[str]) -> None:
    before = files(shell)
    answer = shell.oms(*words, "-o", "json")
    error = failed(answer, 2, "ledger_missing")
    assert "there is no ledger at" in error["message"]
    assert files(shell) == before
    assert shell.wire.requests == 0


@pytest.mark.parametrize("words", [["status"], ["submit"], ["markets"], ["config", "show"]], ids=" ".join)
def test_a_command_that_needs_no_ledger_works_without_and_creates_none(shell: Shell, words: list[str]) -> None:
    before = files(shell)
    assert shell.oms(*words, "-o", "json").code == 0
    assert files(shell) == before


def test_reading_a_ledger_changes_no_byte_of_it(shell: Shell) -> None:
    assert shell.submit([row()]).code == 0
    before = shell.ledger.read_bytes()
    name = shell.oms("orders", "-o", "json").orders[0]["client_order_id"]
    for words in (["orders"], ["batches"], ["why", name], ["status"], ["db", "check"]):
        assert shell.oms(*words).code == 0, words
    assert shell.ledger.read_bytes() == before


# -- a dry run


def test_a_dry_run_needs_no_key_no_network_and_no_ledger_and_shows_the_ids_that_will_be_used(shell: Shell) -> None:
    shell.file("orders.jsonl", [row(), row(side="no", price="0.70", count="2")])
    before = files(shell)
    gone = {"KALSHI_API_KEY_ID": None, "KALSHI_PRIVATE_KEY_PATH": None, "OMS_VENUE__SANDBOX__BASE_URL": None}
    answer = shell.oms("submit", "orders.jsonl", "--dry-run", "-o", "json", env=gone)
    assert (answer.code, answer.json["count"]) == (0, 2)
    assert [(x["side"], x["price"], x["outcome_price"]) for x in answer.orders] == [
        ("bid", "0.0100", "0.0100"),
        ("ask", "0.3000", "0.7000"),
    ]
    assert files(shell) == before
    assert shell.wire.requests == 0
    placed = shell.oms("submit", "orders.jsonl", "-o", "json")
    assert [x["client_order_id"] for x in placed.orders] == [x["client_order_id"] for x in answer.orders]


# -- environments


def test_an_exchange_on_this_machine_is_the_demo_exchange_by_its_address_and_a_key(shell: Shell) -> None:
    answer = shell.submit([row()], env=as_demo(shell))
    assert (answer.code, answer.orders[0]["environment"], answer.orders[0]["status"]) == (0, "demo", "resting")
    assert "below 30" in answer.err, "a short horizon is remarked on outside of the sandbox"
    assert ledger_of(shell, "demo").exists()
    assert not shell.ledger.exists()


@pytest.mark.fault(82)
def test_each_environment_has_a_ledger_of_its_own_and_they_never_mix(shell: Shell) -> None:
    assert shell.submit([row()], env=as_demo(shell)).code == 0
    assert shell.submit([row(count="2")]).code == 0
    demo = shell.oms("orders", "-o", "json", env=as_demo(shell)).orders
    sandbox = shell.oms("orders", "--env", "sandbox", "-o", "json").orders
    assert ([x["count"] for x in demo], [x["count"] for x in sandbox]) == (["1.00"], ["2.00"])
    mixed = {"OMS_LEDGER__URL": str(ledger_of(shell, "demo"))}
    error = failed(shell.submit([row(count="3")], env=mixed), 2, "ledger_foreign")
    assert "belongs to environment demo, not sandbox" in error["message"]
    assert len(shell.sandbox.orders()) == 2


@pytest.mark.fault(82)
def test_a_ledger_belongs_to_one_exchange(shell: Shell) -> None:
    assert shell.submit([row()]).code == 0
    other = shell.base_url.replace("127.0.0.1", "127.0.0.2")
    error = failed(shell.submit([row(count="2")], env={"OMS_VENUE__SANDBOX__BASE_URL": other}), 2, "ledger_foreign")
    assert "belongs to the exchange at 127.0.0.1" in error["message"]


def test_prod_asks_before_it_places_several_orders_and_a_script_needs_yes(shell: Shell) -> None:
    prod = {"OMS_ENVIRONMENT": "prod", "KALSHI_API_KEY_ID": None, "KALSHI_PRIVATE_KEY_PATH": None}
    rows = [row(count="10", price="0.50"), row(count="10", price="0.25", side="no")]
    error = failed(shell.submit(rows, env=prod), 2, "confirmation_needed")
    assert all(word in error["message"] for word in ("2 orders", "7.50", "prod"))
    assert not ledger_of(shell, "prod").exists()
    agreed = shell.submit(rows, "--yes", env=prod)
    failed(agreed, 4, "credentials")
    assert [x["status"] for x in agreed.orders] == ["pending", "pending"]


@pytest.mark.fault(82)
def test_prod_does_not_ask_for_one_order_and_never_sends_to_loopback(shell: Shell) -> None:
    prod = {"OMS_ENVIRONMENT": "prod", "KALSHI_API_KEY_ID": None}
    failed(shell.oms("submit", *FLAGS, "-o", "json", env=prod), 4, "credentials")
    loopback = {"OMS_ENVIRONMENT": "prod", "OMS_VENUE__PROD__BASE_URL": shell.base_url}
    error = failed(shell.oms("submit", *FLAGS, "-o", "json", env=loopback), 2, "bad_config")
    assert "loopback" in error["message"]
    assert shell.wire.requests == 0


# -- keys


@pytest.mark.fault(83)
@pytest.mark.parametrize("missing", ["KALSHI_API_KEY_ID", "KALSHI_PRIVATE_KEY_PATH"])
def test_a_missing_key_is_exit_4_with_everything_recorded_and_queued(shell: Shell, missing: str) -> None:
    answer = shell.submit([row(), row()], env={missing: None})
    error = failed(answer, 4, "credentials")
    assert "is not set" in error["message"]
    assert [x["state"] for x in answer.orders] == ["queued", "queued"]
    assert shell.wire.requests == 0
    assert shell.oms("submit").code == 0
    assert len(shell.sandbox.orders()) == 2


@pytest.mark.fault(83)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_file_that_others_can_read_is_refused(shell: Shell, mode: int) -> None:
    shell.key.chmod(mode)
    answer = shell.submit([row()])
    error = failed(answer, 4, "credentials")
    assert "chmod 600" in error["message"] + error["hint"]
    assert answer.orders[0]["state"] == "queued"
    assert shell.wire.requests == 0


@pytest.mark.fault(83)
@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"]
)
def test_a_key_file_that_holds_no_key_is_exit_4(shell: Shell, content: bytes) -> None:
    bad = shell.file("bad.pem", content)
    bad.chmod(0o600)
    failed(shell.submit([row()], env={"KALSHI_PRIVATE_KEY_PATH": str(bad)}), 4, "credentials")


@pytest.mark.fault(50, 83)
def test_a_key_that_the_exchange_does_not_know_is_exit_4_with_everything_queued(shell: Shell) -> None:
    answer = shell.submit([row()], env={"KALSHI_API_KEY_ID": "00000000-0000-4000-8000-000000000000"})
    failed(answer, 4, "credentials")
    assert answer.orders[0]["state"] == "queued"
    assert shell.sandbox.orders() == []


@pytest.mark.fault(83, 90)
def test_a_key_with_a_passphrase_works_and_neither_is_shown_anywhere(shell: Shell) -> None:
    passphrase = "canary-passphrase-7f3a"
    key = serialization.load_pem_private_key(shell.key.read_bytes(), None)
    protection = serialization.BestAvailableEncryption(passphrase.encode())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    locked = shell.file("locked.pem", pem)
    locked.chmod(0o600)
    shell.canary.guard_key(locked, passphrase)
    env = {**shell.env, "KALSHI_PRIVATE_KEY_PATH": str(locked)}
    shell.file("o.jsonl", [row()])
    right = shell.process("submit", "o.jsonl", "-vv", env={**env, "KALSHI_PRIVATE_KEY_PASSPHRASE": passphrase})
    assert right.code == 0, right.err
    wrong = shell.process("submit", *FLAGS, "-vv", env={**env, "KALSHI_PRIVATE_KEY_PASSPHRASE": "no-such"})
    assert wrong.code == 4
    without = shell.process("submit", *FLAGS, "-vv", env=env)
    assert without.code == 4
    assert len(shell.sandbox.orders()) == 1


@pytest.mark.fault(90)
def test_nothing_secret_is_shown_by_any_command_however_talkative(shell: Shell) -> None:
    shell.sandbox.control(faults=[{"fault": {"kind": "html", "commit": True}, "match": {"method": "POST"}}])
    shell.file("o.jsonl", [row(), row()])
    assert shell.process("submit", "o.jsonl", "-vv", "-o", "json", env={"OMS_DEBUG": "1"}).code == 0
    name = shell.oms("orders", "-o", "json").orders[0]["client_order_id"]
    for words in (["why", name, "--json"], ["orders", "-o", "csv"], ["config", "show"], ["doctor"], ["status"]):
        assert shell.oms(*words, "-vv", env={"OMS_DEBUG": "1"}).code == 0, words
    backup = shell.home / "copy.sqlite3"
    assert shell.oms("db", "backup", backup).code == 0
    assert backup.exists()
    assert len(shell.wire.signatures) > 5


# -- configuration


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(shell: Shell) -> None:
    shell.file("oms.toml", 'environment = "demo"\n[submit]\nwait_s = 7\nttl_s = 5\nconcurrency = 3\n')
    env = {"OMS_SUBMIT__WAIT_S": "9", "OMS_SUBMIT__CONCURRENCY": None, "OMS_CONFIG": str(shell.home / "oms.toml")}
    answer = shell.oms("config", "show", "--env", "sandbox", "-o", "json", env=env)
    shown = {x["key"]: (x["value"], x["origin"].split()[0]) for x in answer.json["config"]}
    assert shown["environment"] == ("sandbox", "flag")
    assert shown["submit.wait_s"] == ("9", "environment")
    assert shown["submit.ttl_s"] == ("5", "file")
    assert shown["submit.concurrency"] == ("3", "file")
    assert shown["submit.resend"] == ("when_absent", "default")


def test_the_configuration_is_shown_with_its_secrets_masked(shell: Shell) -> None:
    shell.canary.guard("the key id", shell.sandbox.key_id)
    answer = shell.oms("config", "show", "-o", "json")
    shown = {x["key"]: x["value"] for x in answer.json["config"]}
    assert shown["venue.sandbox.key_id"] == "****" + shell.sandbox.key_id[-4:]


def test_a_file_in_the_users_own_directory_is_read_without_being_named(shell: Shell) -> None:
    place = shell.home / "config" / "oms"
    place.mkdir(parents=True)
    (place / "config.toml").write_text("[submit]\nttl_s = 77\n")
    answer = shell.oms("config", "show", "-o", "json")
    assert {x["key"]: x["value"] for x in answer.json["config"]}["submit.ttl_s"] == "77"


@pytest.mark.fault(84)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[submit]\nconcurency = 3\n", ["submit.concurency", "did you mean submit.concurrency"]),
        ("environnment = 'demo'\n", ["environnment", "did you mean environment"]),
        ("[submit]\nttl_s = -1\n", ["submit.ttl_s", "-1"]),
        ("[submit]\nresend = 'always'\n", ["submit.resend", "when_absent, at_once, never"]),
        ("[venue.demo]\nbase_url = 'http://example.com/trade-api/v2'\n", ["venue.demo.base_url"]),
        ("[venue.prod]\nbase_url = 'https://127.0.0.1/trade-api/v2'\n", ["venue.prod.base_url", "loopback"]),
        ("environment = [", ["not TOML"]),
    ],
)
def test_a_wrong_configuration_is_exit_2_naming_key_and_cure(shell: Shell, content: str, words: list[str]) -> None:
    shell.file("bad.toml", content)
    answer = shell.oms("submit", *FLAGS, "--config", "bad.toml", "-o", "json", env={"OMS_ENVIRONMENT": None})
    error = failed(answer, 2, "bad_config")
    assert all(word in error["message"] for word in words), error
    assert not shell.ledger.exists()
    assert shell.wire.requests == 0


@pytest.mark.fault(84)
def test_an_unknown_variable_of_ours_is_an_error_naming_the_nearest(shell: Shell) -> None:
    answer = shell.oms("submit", *FLAGS, "-o", "json", env={"OMS_SUBMIT__CONCURENCY": "2"})
    assert "OMS_SUBMIT__CONCURRENCY" in failed(answer, 2, "bad_config")["message"]


# -- files


@pytest.mark.fault(37)
def test_the_ledger_and_all_beside_it_are_for_its_owner_alone(shell: Shell) -> None:
    assert shell.submit([row()]).code == 0
    modes = {path.name: path.stat().st_mode & 0o777 for path in shell.ledger.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert shell.ledger.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.fault(19)
def test_a_reader_that_goes_away_is_no_failure_of_a_run(shell: Shell) -> None:
    shell.file("o.jsonl", [row() for _ in range(3)])
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "oms", "submit", "o.jsonl", "-o", "json"]
    env = {**shell.env, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(words, env=env, cwd=shell.home, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, len(shell.sandbox.orders())) == (0, 3), ended.stderr


def test_json_lines_of_a_failed_command_say_so_too(shell: Shell) -> None:
    answer = shell.oms("orders", "-o", "jsonl")
    assert answer.code == 2
    assert json.loads(answer.out)["error"]["code"] == "ledger_missing"
