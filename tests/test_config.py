"""Settings: where each value comes from, what is refused and in which words, and where orders may be sent to."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.config import Config, Environment, load
from oms.config.hooks import EVENTS
from oms.config.hosts import HOSTS, PATH
from oms.config.keys import KEYS, Key
from oms.errors import ConfigError
from oms.lifecycle.states import Resend
from oms.risk.limits import Limits

PROJECT = Path(__file__).resolve().parent.parent
DEMO = "https://external-api.demo.kalshi.co/trade-api/v2"
PROD = "https://external-api.kalshi.com/trade-api/v2"
HOME = {"HOME": "/home/trader"}


def with_file(tmp_path: Path, toml: str, flags: dict[str, str] | None = None, **environ: str) -> Config:
    file = tmp_path / "oms.toml"
    file.write_text(toml, encoding="utf-8")
    return load({"config": str(file)} | (flags or {}), HOME | environ)


def refusal(flags: dict[str, str], environ: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as raised:
        load(flags, HOME | environ)
    assert raised.value.exit_code == 2
    return str(raised.value)


def file_refusal(tmp_path: Path, toml: str) -> str:
    with pytest.raises(ConfigError) as raised:
        with_file(tmp_path, toml)
    return str(raised.value)


def test_without_anything_it_is_the_sandbox_with_every_documented_default() -> None:
    config = load({}, HOME)
    assert config.environment is Environment.SANDBOX
    assert (config.venue.base_url, config.venue.key_id, config.venue.private_key_path) == ("", None, None)
    assert config.venue.timeout_s == 10
    assert config.ledger_url == "sqlite:////home/trader/.local/state/oms/ledger.sandbox.sqlite3"
    assert config.ledger_path == Path("/home/trader/.local/state/oms/ledger.sandbox.sqlite3")
    assert (config.state_dir, config.sandbox_dir) == (
        Path("/home/trader/.local/state/oms"),
        Path("/home/trader/.local/state/oms/sandbox"),
    )
    submit = config.submit
    assert (submit.concurrency, submit.batch_size, submit.resend) == (8, None, Resend.WHEN_ABSENT)
    assert (submit.in_flight_horizon_s, submit.ttl_s, submit.wait_s) == (3, 0, 60)
    assert set(config.origins.values()) == {"default"}
    assert config.warnings == ()


@pytest.mark.parametrize(("environment", "base_url"), [("demo", DEMO), ("prod", PROD)])
def test_each_environment_has_its_own_exchange_and_ledger(environment: str, base_url: str) -> None:
    config = load({"environment": environment}, HOME)
    assert config.venue.base_url == base_url
    assert config.ledger_path is not None
    assert config.ledger_path.name == f"ledger.{environment}.sqlite3"
    assert config.submit.in_flight_horizon_s == 60


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    toml = "[submit]\nttl_s = 1\nwait_s = 2\nconcurrency = 3\n"
    environ = {"OMS_SUBMIT__TTL_S": "10", "OMS_SUBMIT__WAIT_S": "20"}
    config = with_file(tmp_path, toml, {"submit.ttl_s": "100"}, **environ)
    assert (config.submit.ttl_s, config.submit.wait_s, config.submit.concurrency) == (100, 20, 3)
    origins = config.origins
    assert origins["submit.ttl_s"] == "flag --ttl"
    assert origins["submit.wait_s"] == "environment OMS_SUBMIT__WAIT_S"
    assert origins["submit.concurrency"] == f"file {tmp_path / 'oms.toml'}"
    assert origins["submit.resend"] == "default"


def test_the_file_is_config_then_oms_config_then_the_xdg_one(tmp_path: Path) -> None:
    files = {}
    for wait_s, name in enumerate(("flag.toml", "variable.toml", "xdg/oms/config.toml"), start=1):
        files[name] = tmp_path / name
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_text(f"submit.wait_s = {wait_s}\n")
    xdg = HOME | {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    both = xdg | {"OMS_CONFIG": str(files["variable.toml"])}
    assert load({"config": str(files["flag.toml"])}, both).submit.wait_s == 1
    assert load({}, both).submit.wait_s == 2
    assert load({}, xdg).submit.wait_s == 3
    assert load({}, xdg).file == files["xdg/oms/config.toml"]
    assert load({}, HOME | {"XDG_CONFIG_HOME": str(tmp_path / "none")}).file is None


def test_the_users_file_is_found_under_home_and_nothing_in_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text("submit.wait_s = 9\n")
    (tmp_path / ".config" / "oms").mkdir(parents=True)
    assert load({}, {"HOME": str(tmp_path)}).submit.wait_s == 60
    (tmp_path / ".config" / "oms" / "config.toml").write_text("submit.wait_s = 7\n")
    assert load({}, {"HOME": str(tmp_path)}).submit.wait_s == 7


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_key_can_be_set_by_its_variable(key: Key) -> None:
    section_environment = key.name.split(".")[1] if key.name.count(".") == 2 else "demo"
    value, shown = {
        "environment": ("prod", "prod"),
        "ledger.url": ("/srv/l.sqlite3", "sqlite:////srv/l.sqlite3"),
        "submit.resend": ("never", "never"),
        "submit.batch_size": ("7", "7"),
        "limits.max_order_count": ("33.5", "33.50"),
        "limits.refuse_crossing": ("true", "true"),
        "limits.check_market": ("true", "true"),
        "limits.allow_tickers": ("KXA-*, KXB", "KXA-*, KXB"),
        "hooks.on_event": ('["notify", "-v"]', '["notify", "-v"]'),
        "hooks.webhook": ("https://hooks.example/T0/token?x=1", "https://hooks.example/****"),
        "hooks.events": ("filled, halt", '["halt", "filled"]'),
    }.get(key.name, ("33", "33.00" if key.name.endswith("_dollars") else "33"))
    if key.name.endswith("base_url"):
        value = shown = f"https://{HOSTS[section_environment][1]}{PATH}" if HOSTS[section_environment] else DEMO
    if key.name == "venue.sandbox.base_url":
        value = shown = f"http://127.0.0.1:8080{PATH}"
    if key.name.endswith("key_id"):
        value, shown = "0a1b2c3d-0000-4000-8000-00000000beef", "****beef"
    row = {name: (text, origin) for name, text, origin in load({}, HOME | {key.variable: value}).rows()}[key.name]
    assert row == (shown, f"environment {key.variable}")


def test_an_empty_variable_is_as_good_as_none(tmp_path: Path) -> None:
    config = with_file(tmp_path, "[submit]\nwait_s = 5\n", OMS_SUBMIT__WAIT_S="", OMS_ENVIRONMENT="", OMS_CONFIG="")
    assert (config.submit.wait_s, config.environment) == (5, Environment.SANDBOX)


@pytest.mark.fault(84)
@pytest.mark.parametrize(
    ("toml", "nearest"),
    [
        ('enviroment = "prod"', "environment"),
        ("[venue]\ntimeouts = 5", "venue.timeout_s"),
        ("[submit]\ntimeout_s = 5", "venue.timeout_s"),
        ("timeout_s = 5", "venue.timeout_s"),
        ('[venue.demo]\nprivate_key = "x"', "venue.demo.private_key_path"),
        ("[submit]\nbatchsize = 5", "submit.batch_size"),
        ("[submt]\nttl_s = 5", "submit"),
        ("[venue.staging]\nkey_id = 'x'", "venue"),
        ('"venue.timeout_s" = 5', "venue.timeout_s"),
    ],
)
def test_an_unknown_key_is_refused_naming_the_nearest_one(tmp_path: Path, toml: str, nearest: str) -> None:
    message = file_refusal(tmp_path, toml)
    assert message.startswith("unknown key ")
    assert f"did you mean {nearest}" in message
    assert str(tmp_path / "oms.toml") in message


@pytest.mark.fault(84)
@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("OMS_VENUE__TIMEOUTS", "OMS_VENUE__TIMEOUT_S"),
        ("OMS_ENV", "OMS_ENVIRONMENT"),
        ("OMS_ENVIROMENT", "OMS_ENVIRONMENT"),
        ("OMS_TIMEOUT_S", "OMS_VENUE__TIMEOUT_S"),
        ("OMS_LEDGER_URL", "OMS_LEDGER__URL"),
        ("OMS_VENUE__DEMO__KEYID", "OMS_VENUE__DEMO__KEY_ID"),
        ("OMS_CONFIG_FILE", "OMS_CONFIG"),
    ],
)
def test_an_unknown_variable_is_refused_naming_the_nearest_one(name: str, nearest: str) -> None:
    assert refusal({}, {name: "1"}) == f"unknown variable {name} (environment); did you mean {nearest}?"


@pytest.mark.parametrize("name", ["OMS_VENV", "OMS_TEST_INSTALL", "OMSK", "OMS_HOME", "KALSHI_ANYTHING"])
def test_variables_that_are_no_settings_are_left_alone(name: str) -> None:
    assert load({}, HOME | {name: "/x"}) == load({}, HOME)


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ('environment = "live"', 'environment = "live"'),
        ("environment = 1", "environment = 1"),
        ("environment = {a = 1}", "environment = "),
        ("venue = 3", "expected a table, [venue]"),
        ("[[submit]]\nttl_s = 1", "expected a table, [submit]"),
        ('[venue]\ntimeout_s = "10"', 'venue.timeout_s = "10"'),
        ("[venue]\ntimeout_s = 0", "venue.timeout_s = 0"),
        ("[venue]\ntimeout_s = nan", "venue.timeout_s = NaN"),
        ("[venue]\ntimeout_s = inf", "venue.timeout_s = Infinity"),
        ("[venue]\ntimeout_s = -1", "venue.timeout_s = -1"),
        ("[venue]\ntimeout_s = 1e400", "venue.timeout_s = 1E+400"),
        ("[venue]\ntimeout_s = 1e-400", "venue.timeout_s = 1E-400"),
        ("[venue]\ntimeout_s = true", "venue.timeout_s = true"),
        ("[submit]\nconcurrency = 0", "a whole number from 1 to 64"),
        ("[submit]\nconcurrency = 65", "a whole number from 1 to 64"),
        ("[submit]\nconcurrency = 8.0", "submit.concurrency = 8.0"),
        ("[submit]\nconcurrency = true", "submit.concurrency = true"),
        ("[submit]\nbatch_size = 0", '"auto" or a whole number'),
        ('[submit]\nbatch_size = "8"', '"auto" or a whole number'),
        ("[submit]\nin_flight_horizon_s = 0", "above 0"),
        ("[submit]\nttl_s = -0.5", "from 0"),
        ("[submit]\nwait_s = 0", "above 0"),
        ('[submit]\nresend = "always"', "one of when_absent, at_once, never"),
        ("[venue.prod]\nkey_id = 7", "venue.prod.key_id = 7"),
        ('[venue.prod]\nkey_id = "a\\nb"', "one line of text"),
        ("[ledger]\nurl = 2026-01-01", "ledger.url = 2026-01-01"),
    ],
)
def test_a_wrong_value_is_refused_naming_key_value_expectation_and_file(tmp_path: Path, toml: str, named: str) -> None:
    message = file_refusal(tmp_path, toml)
    assert named in message
    assert "expected " in message
    assert f"file {tmp_path / 'oms.toml'}" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OMS_VENUE__TIMEOUT_S", "soon"),
        ("OMS_VENUE__TIMEOUT_S", "1e3"),
        ("OMS_VENUE__TIMEOUT_S", "nan"),
        ("OMS_VENUE__TIMEOUT_S", "1_0"),
        ("OMS_VENUE__TIMEOUT_S", " 1"),
        ("OMS_VENUE__TIMEOUT_S", "\u0661"),
        ("OMS_VENUE__TIMEOUT_S", "0.0"),
        ("OMS_SUBMIT__CONCURRENCY", "8.0"),
        ("OMS_SUBMIT__CONCURRENCY", "+8"),
        ("OMS_SUBMIT__CONCURRENCY", "8\n"),
        ("OMS_SUBMIT__BATCH_SIZE", "Auto"),
        ("OMS_ENVIRONMENT", "PROD"),
    ],
)
def test_a_wrong_variable_is_refused_naming_it(name: str, value: str) -> None:
    assert f"(environment {name}): expected " in refusal({}, {name: value})


def test_a_wrong_flag_is_refused_naming_it() -> None:
    assert refusal({"environment": "live"}, {}) == (
        'environment = "live" (flag --env): expected one of sandbox, demo, prod'
    )


def test_a_wrong_value_for_an_environment_not_in_use_is_refused_too(tmp_path: Path) -> None:
    assert "venue.prod.base_url" in file_refusal(tmp_path, '[venue.prod]\nbase_url = "http://127.0.0.1:1/trade-api/v2"')


@pytest.mark.parametrize(
    "content",
    [b"environment = ", b"[venue]\n[venue]\n", b'environment = "demo"\nenvironment = "prod"\n', b"\xff\xfe", b"a" * 70],
)
def test_a_file_that_is_not_toml_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "oms.toml"
    file.write_bytes(content)
    assert refusal({"config": str(file)}, {}).startswith(f"the configuration file {file} is not TOML: ")


def test_a_file_that_was_asked_for_must_exist_and_be_a_file_of_sane_size(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert refusal({}, {"OMS_CONFIG": str(missing)}) == (
        f"cannot read the configuration file {missing}: No such file or directory"
    )
    assert "Is a directory" in refusal({"config": str(tmp_path)}, {})
    large = tmp_path / "large.toml"
    large.write_text("#" * 1_000_001)
    assert "is larger than" in refusal({"config": str(large)}, {})


def test_tilde_in_config_is_home_and_another_users_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("submit.wait_s = 4\n")
    assert load({"config": "~/my.toml"}, {"HOME": str(tmp_path)}).submit.wait_s == 4
    assert "give the whole path" in refusal({"config": "~root/my.toml"}, {})


ACCEPTED = [
    ("demo", DEMO, DEMO),
    ("demo", DEMO + "/", DEMO),
    ("demo", "https://demo-api.kalshi.co/trade-api/v2", "https://demo-api.kalshi.co/trade-api/v2"),
    ("demo", "HTTPS://External-API.Demo.Kalshi.CO/trade-api/v2", DEMO),
    ("demo", "https://external-api.demo.kalshi.co:443/trade-api/v2", DEMO),
    ("demo", "http://127.0.0.1:8080/trade-api/v2", "http://127.0.0.1:8080/trade-api/v2"),
    ("demo", "http://127.8.9.1:1/trade-api/v2/", "http://127.8.9.1:1/trade-api/v2"),
    ("demo", "http://localhost:8080/trade-api/v2", "http://127.0.0.1:8080/trade-api/v2"),
    ("demo", "https://127.0.0.1:8443/trade-api/v2", "https://127.0.0.1:8443/trade-api/v2"),
    ("demo", "http://[::1]:8080/trade-api/v2", "http://[::1]:8080/trade-api/v2"),
    ("demo", "http://[0:0:0:0:0:0:0:1]:8080/trade-api/v2", "http://[::1]:8080/trade-api/v2"),
    ("demo", "http://127.0.0.1/trade-api/v2", "http://127.0.0.1/trade-api/v2"),
    ("sandbox", "http://127.0.0.1:65535/trade-api/v2", "http://127.0.0.1:65535/trade-api/v2"),
    ("prod", PROD, PROD),
    ("prod", "https://api.elections.kalshi.com/trade-api/v2", "https://api.elections.kalshi.com/trade-api/v2"),
]

REFUSED = [
    ("prod", "http://external-api.kalshi.com/trade-api/v2"),
    ("prod", DEMO),
    ("prod", "http://127.0.0.1:8080/trade-api/v2"),
    ("prod", "https://127.0.0.1:8080/trade-api/v2"),
    ("prod", "https://localhost/trade-api/v2"),
    ("prod", "https://[::1]/trade-api/v2"),
    ("prod", "https://external-api.kalshi.com.evil.example/trade-api/v2"),
    ("prod", "https://external-api.kalshi.com@evil.example/trade-api/v2"),
    ("prod", "https://evil.example/external-api.kalshi.com/trade-api/v2"),
    ("prod", "https://evil.example#external-api.kalshi.com/trade-api/v2"),
    ("prod", "https://evil.example\\@external-api.kalshi.com/trade-api/v2"),
    ("prod", "https://user:pass@external-api.kalshi.com/trade-api/v2"),
    ("prod", "https://external-api.kalshi.com./trade-api/v2"),
    ("prod", "https://external-api.kalshi.com:8443/trade-api/v2"),
    ("prod", "https://external-api.kalshi.com:/trade-api/v2"),
    ("prod", "https://external-api.kalshi.com"),
    ("prod", "https://external-api.kalshi.com/"),
    ("prod", "https://external-api.kalshi.com/trade-api/v3"),
    ("prod", "https://external-api.kalshi.com/trade-api/v2//"),
    ("prod", "https://external-api.kalshi.com//trade-api/v2"),
    ("prod", "https://external-api.kalshi.com/x/../trade-api/v2"),
    ("prod", "https://external-api.kalshi.com/Trade-API/v2"),
    ("prod", "https://external-api.kalshi.com/trade-api/v2?"),
    ("prod", "https://external-api.kalshi.com/trade-api/v2?a=1"),
    ("prod", "https://external-api.kalshi.com/trade-api/v2#a"),
    ("prod", "https://external-api.kalshi.com/trade-api%2Fv2"),
    ("prod", " https://external-api.kalshi.com/trade-api/v2"),
    ("prod", "https://external-api.kalshi.com/trade-api/v2\n"),
    ("prod", "https://external-api.kalsh\u0131.com/trade-api/v2"),
    ("prod", "https://external-api.\u212aalshi.com/trade-api/v2"),
    ("prod", "https://xn--external-api-kalshi.com/trade-api/v2"),
    ("prod", "external-api.kalshi.com/trade-api/v2"),
    ("prod", "//external-api.kalshi.com/trade-api/v2"),
    ("prod", "ftp://external-api.kalshi.com/trade-api/v2"),
    ("prod", "file:///trade-api/v2"),
    ("demo", PROD),
    ("demo", "http://external-api.demo.kalshi.co/trade-api/v2"),
    ("demo", "https://external-api.demo.kalshi.com/trade-api/v2"),
    ("demo", "http://127.1:8080/trade-api/v2"),
    ("demo", "http://2130706433:8080/trade-api/v2"),
    ("demo", "http://0x7f.0.0.1:8080/trade-api/v2"),
    ("demo", "http://0.0.0.0:8080/trade-api/v2"),
    ("demo", "http://128.0.0.1:8080/trade-api/v2"),
    ("demo", "http://10.0.0.1:8080/trade-api/v2"),
    ("demo", "http://127.0.0.1.evil.example/trade-api/v2"),
    ("demo", "http://localhost.evil.example/trade-api/v2"),
    ("demo", "http://[::ffff:127.0.0.1]:8080/trade-api/v2"),
    ("demo", "http://[::1%25lo]:8080/trade-api/v2"),
    ("demo", "http://[::1]x:8080/trade-api/v2"),
    ("demo", "http://::1:8080/trade-api/v2"),
    ("demo", "http://127.0.0.1:0/trade-api/v2"),
    ("demo", "http://127.0.0.1:65536/trade-api/v2"),
    ("demo", "http://127.0.0.1:-1/trade-api/v2"),
    ("demo", "http://127.0.0.1:8080"),
    ("sandbox", DEMO),
    ("sandbox", PROD),
]


@pytest.mark.parametrize(("environment", "given_url", "used"), ACCEPTED)
def test_an_accepted_address_is_brought_to_one_spelling(environment: str, given_url: str, used: str) -> None:
    config = load({"environment": environment, f"venue.{environment}.base_url": given_url}, HOME)
    assert config.venue.base_url == used
    assert config.venue.is_loopback == ("kalshi" not in used)


@pytest.mark.fault(82)
@pytest.mark.parametrize(("environment", "given_url"), REFUSED)
def test_an_address_outside_the_environments_hosts_is_refused(environment: str, given_url: str) -> None:
    message = refusal({"environment": environment, f"venue.{environment}.base_url": given_url}, {})
    assert message.startswith(f"venue.{environment}.base_url = ")
    assert PATH in message.partition("expected ")[2]


@given(st.sampled_from(("demo", "prod")), st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_whatever_is_wrapped_around_a_host_name_never_widens_the_set_of_hosts(
    environment: str, before: str, between: str, after: str
) -> None:
    host = HOSTS[environment][0]
    try:
        config = load(
            {"environment": environment, f"venue.{environment}.base_url": before + host + between + after}, HOME
        )
    except ConfigError:
        return
    assert config.venue.base_url == f"https://{host}{PATH}"


def test_a_refused_address_says_whose_host_it_is() -> None:
    assert "external-api.kalshi.com is of prod" in refusal({"venue.demo.base_url": PROD}, {})
    assert "prod never sends to loopback" in refusal({"venue.prod.base_url": f"https://localhost{PATH}"}, {})


def test_kalshis_own_variables_are_the_last_resort_for_the_key(tmp_path: Path) -> None:
    kalshi = {"KALSHI_API_KEY_ID": "from-kalshi-variable", "KALSHI_PRIVATE_KEY_PATH": "/keys/kalshi.pem"}
    plain = load({"environment": "demo"}, HOME | kalshi)
    assert plain.venue.key_id == "from-kalshi-variable"
    assert plain.venue.private_key_path == Path("/keys/kalshi.pem")
    assert plain.origins["venue.demo.key_id"] == "environment KALSHI_API_KEY_ID"
    assert plain.origins["venue.prod.key_id"] == "default"

    configured = with_file(
        tmp_path,
        '[venue.demo]\nkey_id = "from-file"\nprivate_key_path = "key.pem"\n',
        {"environment": "demo"},
        **kalshi,
    )
    assert configured.venue.key_id == "from-file"
    assert configured.venue.private_key_path == tmp_path / "key.pem"


def test_a_sandbox_started_by_us_never_gets_the_traders_key_but_one_at_an_address_does() -> None:
    kalshi = {"KALSHI_API_KEY_ID": "from-kalshi-variable", "KALSHI_PRIVATE_KEY_PATH": "/keys/kalshi.pem"}
    assert load({}, HOME | kalshi).venue.key_id is None
    assert load({}, HOME | kalshi).venue.private_key_path is None
    elsewhere = load({"venue.sandbox.base_url": f"http://127.0.0.1:9{PATH}"}, HOME | kalshi)
    assert elsewhere.venue.key_id == "from-kalshi-variable"


@pytest.mark.parametrize(
    ("path", "used"),
    [("~/k.pem", "/home/trader/k.pem"), ("/abs/k.pem", "/abs/k.pem"), ("k.pem", "k.pem")],
)
def test_a_key_path_in_a_variable_may_start_at_home_or_here(path: str, used: str) -> None:
    config = load({"environment": "demo"}, HOME | {"KALSHI_PRIVATE_KEY_PATH": path})
    assert config.venue.private_key_path == Path(used)


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("/srv/oms/l.sqlite3", "sqlite:////srv/oms/l.sqlite3"),
        ("sqlite:////srv/oms/l.sqlite3", "sqlite:////srv/oms/l.sqlite3"),
        ("postgresql://oms@db/oms", "postgresql://oms@db/oms"),
        ("postgresql+psycopg://oms@db/oms", "postgresql+psycopg://oms@db/oms"),
    ],
)
def test_a_ledger_url_is_a_whole_path_or_postgresql(url: str, used: str) -> None:
    config = load({"ledger.url": url}, HOME)
    assert config.ledger_url == used
    assert (config.ledger_path is None) == used.startswith("postgresql")


@pytest.mark.parametrize(
    "url",
    [
        "ledger.sqlite3", "~/ledger.sqlite3", "sqlite:///ledger.sqlite3", "sqlite:///~/l", "sqlite://", "sqlite:///",
        "sqlite:///:memory:", "sqlite:////", "/srv/oms/", "/srv/l.sqlite3?mode=ro", "mysql://db/oms", "file:/srv/l",
    ],
)  # fmt: skip
def test_a_ledger_that_would_depend_on_the_directory_or_forget_is_refused(url: str) -> None:
    assert refusal({"ledger.url": url}, {}).startswith(f'ledger.url = "{url}" (flag --url): expected an absolute path')


def test_state_lies_under_xdg_state_home_if_that_is_absolute() -> None:
    assert load({}, HOME | {"XDG_STATE_HOME": "/var/state"}).state_dir == Path("/var/state/oms")
    assert load({}, HOME | {"XDG_STATE_HOME": "state"}).state_dir == Path("/home/trader/.local/state/oms")
    assert load({}, {"XDG_STATE_HOME": "/var/state"}).state_dir == Path("/var/state/oms")


@pytest.mark.fault(84)
@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_without_any_home_the_message_names_the_variables(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="neither HOME nor XDG_STATE_HOME") as raised:
        load({}, environ)
    assert "XDG_STATE_HOME" in raised.value.hint


def test_a_short_horizon_warns_outside_the_sandbox_only() -> None:
    short = HOME | {"OMS_SUBMIT__IN_FLIGHT_HORIZON_S": "29.5"}
    assert load({}, short).warnings == ()
    (warning,) = load({"environment": "demo"}, short).warnings
    assert "submit.in_flight_horizon_s = 29.5 (environment OMS_SUBMIT__IN_FLIGHT_HORIZON_S)" in warning
    assert load({"environment": "demo"}, HOME | {"OMS_SUBMIT__IN_FLIGHT_HORIZON_S": "30"}).warnings == ()


def test_the_horizon_of_the_sandbox_is_three_seconds_unless_it_is_set(tmp_path: Path) -> None:
    assert load({}, HOME).submit.in_flight_horizon_s == 3
    assert with_file(tmp_path, "submit.in_flight_horizon_s = 60").submit.in_flight_horizon_s == 60
    assert with_file(tmp_path, "submit.in_flight_horizon_s = 0.25").submit.in_flight_horizon_us == 250_000


@given(st.decimals(min_value="0.000001", max_value=31_536_000, places=6))
def test_seconds_become_exact_microseconds(seconds: Any) -> None:
    config = load({"submit.in_flight_horizon_s": f"{seconds:f}"}, HOME)
    assert config.submit.in_flight_horizon_us == int(seconds * 1_000_000)


def test_nothing_printable_holds_a_secret() -> None:
    secret = "0a1b2c3d-1111-4222-8333-44445555beef"
    environ = HOME | {
        "KALSHI_API_KEY_ID": secret,
        "KALSHI_PRIVATE_KEY_PASSPHRASE": "correct horse",
        "OMS_LEDGER__URL": "postgresql://oms:pass%40word@db/oms?password=hunter2",
    }
    config = load({"environment": "demo"}, environ)
    assert config.venue.key_id == secret
    printed = repr(config) + repr(config.rows())
    for word in (secret, "correct horse", "pass%40word", "hunter2"):
        assert word not in printed
    rows = {name: shown for name, shown, _ in config.rows()}
    assert rows["venue.demo.key_id"] == "****beef"
    assert rows["ledger.url"] == "postgresql://oms:****@db/oms?****"
    short = load({"environment": "demo", "venue.demo.key_id": "abcdef"}, HOME)
    assert {name: shown for name, shown, _ in short.rows()}["venue.demo.key_id"] == "****"


def test_without_limits_in_the_settings_there_are_none() -> None:
    assert load({}, HOME).limits == Limits()
    assert not load({}, HOME).limits.is_any


def test_limits_are_read_exactly(tmp_path: Path) -> None:
    toml = """[limits]
    max_order_count = 12.5
    max_order_cost_dollars = "250.000001"
    price_collar_dollars = 0.03
    refuse_crossing = true
    check_market = true
    market_max_age_s = 0.5
    max_open_orders = 0
    max_market_exposure_dollars = 1000
    max_event_exposure_dollars = 2000.5
    max_total_exposure_dollars = 0
    max_orders_per_s = 8
    duplicate_window_s = 30
    allow_tickers = ["KXHIGH*", "KXRAIN-*"]
    deny_tickers = ["*-T70"]
    max_daily_loss_dollars = 75.25
    """
    assert with_file(tmp_path, toml).limits == Limits(
        max_order_count_e2=1250,
        max_order_cost_e6=250_000_001,
        price_collar_e6=30_000,
        refuse_crossing=True,
        check_market=True,
        market_max_age_us=500_000,
        max_open_orders=0,
        max_market_exposure_e6=1_000_000_000,
        max_event_exposure_e6=2_000_500_000,
        max_total_exposure_e6=0,
        max_orders_per_s=8,
        duplicate_window_us=30_000_000,
        allow_tickers=("KXHIGH*", "KXRAIN-*"),
        deny_tickers=("*-T70",),
        max_daily_loss_e6=75_250_000,
    )
    shown = {name: text for name, text, _ in with_file(tmp_path, toml).rows()}
    assert shown["limits.max_order_cost_dollars"] == "250.000001"
    assert shown["limits.allow_tickers"] == "KXHIGH*, KXRAIN-*"
    for said in ("A-*,B", '["A-*", "B"]'):
        assert load({}, HOME | {"OMS_LIMITS__ALLOW_TICKERS": said}).limits.allow_tickers == ("A-*", "B")
    assert load({}, HOME | {"OMS_LIMITS__MAX_OPEN_ORDERS": "off"}).limits.max_open_orders is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("max_order_count = 1.005", '"off" or contracts, a number from 0 with at most 2 decimals'),
        ("max_order_count = -1", '"off" or contracts'),
        ("max_order_count = true", '"off" or contracts'),
        ('max_order_cost_dollars = "none"', '"off" or dollars, a number from 0 with at most 6 decimals'),
        ("max_order_cost_dollars = nan", '"off" or dollars'),
        ("max_order_cost_dollars = 1e30", '"off" or dollars'),
        ("max_order_cost_dollars = [1]", '"off" or dollars'),
        ("max_open_orders = 1.5", '"off" or a whole number'),
        ("max_orders_per_s = 0", '"off" or a whole number from 1'),
        ("duplicate_window_s = 0", '"off" or seconds'),
        ('refuse_crossing = "yes"', "true or false"),
        ("check_market = 1", "true or false"),
        ('allow_tickers = ["A B"]', "a list of tickers"),
        ("allow_tickers = [1]", "a list of tickers"),
        ("deny_tickers = 1", "a list of tickers"),
    ],
)
def test_a_bad_limit_is_refused_naming_what_is_expected(tmp_path: Path, line: str, expected: str) -> None:
    message = file_refusal(tmp_path, f"[limits]\n{line}")
    assert message.startswith("limits.")
    assert f"expected {expected}" in message


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("max_order_cost = 5", "limits.max_order_cost_dollars"),
        ("max_exposure = 5", "limits.max_total_exposure_dollars"),
        ("max_orders = 5", "limits.max_orders_per_s"),
        ("collar_cents = 5", "limits.price_collar_dollars"),
    ],
)
def test_a_limit_that_does_not_exist_is_an_error_naming_the_nearest(tmp_path: Path, line: str, nearest: str) -> None:
    message = file_refusal(tmp_path, f"[limits]\n{line}")
    assert f"did you mean {nearest}?" in message


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def test_the_example_file_has_every_key_at_its_default(tmp_path: Path) -> None:
    example = (PROJECT / "config.example.toml").read_text(encoding="utf-8")
    config = with_file(tmp_path, example)
    assert [row[:2] for row in config.rows()] == [row[:2] for row in load({}, HOME).rows()]
    every_key = _flat(tomllib.loads(re.sub(r"(?m)^# (\w+ = )", r"\1", example)))
    assert list(every_key) == [key.name for key in KEYS]
    spelled = {None: "auto", (): [], EVENTS: list(EVENTS)}
    for key in KEYS:
        default = "off" if key.name.startswith("limits.") and key.default is None else key.default
        assert every_key[key.name] == spelled.get(default, default), key.name


def _table() -> str:
    lines = ["| key | variable | default | meaning |", "|---|---|---|---|"]
    for key in KEYS:
        plain = f"{key.default:g}" if isinstance(key.default, float) else str(key.default or "")
        default = key.default_shown or plain
        flag = f" (`{key.flag}`)" if key.flag else ""
        lines.append(f"| `{key.name}`{flag} | `{key.variable}` | {default or '(empty)'} | {key.meaning} |")
    return "\n".join(lines)


def test_the_documentation_has_the_table_of_keys() -> None:
    text = (PROJECT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert _table() in text, f"docs/configuration.md should have this table:\n{_table()}"


@pytest.mark.parametrize(
    "variable", ["KALSHI_PRIVATE_KEY_PATH", "OMS_VENUE__DEMO__PRIVATE_KEY_PATH", "OMS_ENVIRONMENT"]
)
def test_a_secret_pasted_into_a_variable_is_never_shown(variable: str, tmp_path: Path) -> None:
    pem = "-----BEGIN PRIVATE KEY-----MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v-----END PRIVATE KEY-----"
    environ = {"HOME": str(tmp_path), variable: pem}
    try:
        shown = str(load({}, environ).rows())
    except ConfigError as exc:
        shown = f"{exc.message} {exc.hint}"
    assert "MC4CAQ" not in shown
