"""The settings of one run, complete and checked: `load` and the frozen records it returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from oms.config import hooks
from oms.config.hooks import HooksConfig
from oms.config.hosts import default_base_url, is_loopback
from oms.config.keys import BY_NAME, Environment
from oms.config.sources import DEFAULT, Given, base_directory, config_file, expanded, gather, read
from oms.config.values import looks_secret
from oms.errors import ConfigError
from oms.lifecycle.states import Resend
from oms.risk.limits import Limits
from oms.units import format_count, format_dollars

SANDBOX_HORIZON_S = 3.0
LOWEST_UNREMARKED_HORIZON_S = 30.0  # the exchange's own skew bound lies below it


@dataclass(frozen=True, slots=True)
class VenueConfig:
    """The exchange of the active environment, and with which key."""

    base_url: str  # without a final slash; "" is the sandbox, to be started as a child
    key_id: str | None = field(repr=False)
    private_key_path: Path | None
    timeout_s: float  # total deadline of one request

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.base_url)


@dataclass(frozen=True, slots=True)
class SubmitConfig:
    """How orders are sent, and what becomes of those in doubt."""

    concurrency: int
    batch_size: int | None  # None: as the account's write bucket allows; 1: the single-order endpoint
    in_flight_horizon_s: float
    resend: Resend
    ttl_s: float  # 0: none
    wait_s: float

    @property
    def in_flight_horizon_us(self) -> int:
        return _micros(self.in_flight_horizon_s)

    @property
    def ttl_us(self) -> int:
        return _micros(self.ttl_s)


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of `oms config show`: secrets masked."""

    key: str
    shown: str
    origin: str


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a run is told from outside. Holds no secret but the key id, and never prints that whole."""

    environment: Environment
    venue: VenueConfig
    ledger_url: str = field(repr=False)  # may carry a database password
    ledger_path: Path | None  # None: not SQLite
    submit: SubmitConfig
    limits: Limits
    state_dir: Path
    sandbox_dir: Path
    file: Path | None
    hooks: HooksConfig
    settings: tuple[Setting, ...] = field(repr=False)
    warnings: tuple[str, ...]

    @property
    def origins(self) -> Mapping[str, str]:
        """Key name to `default`, `file PATH`, `environment NAME` or `flag --x`."""
        return MappingProxyType({setting.key: setting.origin for setting in self.settings})

    def rows(self) -> list[tuple[str, str, str]]:
        """(key, value as shown, origin) for every key, in the order of the documentation; secrets masked."""
        return [(setting.key, setting.shown, setting.origin) for setting in self.settings]


def load(flags: Mapping[str, str], environ: Mapping[str, str]) -> Config:
    """The settings of this run: flag, else environment, else file, else default.

    `flags` has text by key name (`environment`, `submit.ttl_s`) and `config` for the file; give only what was really
    said. Reads at most that one file. A key id or key file that is missing is no error here: not every command needs
    one. Raises ConfigError naming key, value, origin and what is expected.
    """
    file = config_file(flags, environ)
    given = gather(flags, environ, file)
    environment: Environment = given["environment"].value
    state_dir = _state_dir(environ)
    given = _with_defaults(given, environ, environment, state_dir)
    ledger_url: str = given["ledger.url"].value
    is_sqlite = ledger_url.startswith("sqlite:///")
    return Config(
        environment=environment,
        venue=_venue(given, environ, environment, file),
        ledger_url=ledger_url,
        ledger_path=Path(ledger_url.removeprefix("sqlite:///")) if is_sqlite else None,
        submit=_submit(given),
        limits=_limits({name.removeprefix("limits."): one.value for name, one in given.items()}),
        state_dir=state_dir,
        sandbox_dir=state_dir / "sandbox",
        file=file,
        hooks=HooksConfig(*(given[f"hooks.{name}"].value for name in ("on_event", "webhook", "events"))),
        settings=tuple(Setting(name, _shown(name, one.value), one.origin) for name, one in given.items()),
        warnings=_warnings(given, environment),
    )


def _state_dir(environ: Mapping[str, str]) -> Path:
    base = base_directory(environ, "XDG_STATE_HOME", ".local/state")
    if base is None:
        raise ConfigError(
            "neither HOME nor XDG_STATE_HOME is set to an absolute path, so there is no place for the ledger",
            hint="set XDG_STATE_HOME to a directory that stays",
        )
    return base / "oms"


def _with_defaults(
    given: dict[str, Given], environ: Mapping[str, str], environment: Environment, state_dir: Path
) -> dict[str, Given]:
    """What follows from the environment where nothing was said: address, ledger, horizon, key."""
    section = f"venue.{environment}"
    filled = dict(given)
    if not given["ledger.url"].value:
        path = state_dir / f"ledger.{environment}.sqlite3"
        filled["ledger.url"] = Given(f"sqlite:///{path}", DEFAULT)
    if environment is Environment.SANDBOX and given["submit.in_flight_horizon_s"].is_default:
        filled["submit.in_flight_horizon_s"] = Given(SANDBOX_HORIZON_S, DEFAULT)
    for each in Environment:
        if not given[f"venue.{each}.base_url"].value:
            filled[f"venue.{each}.base_url"] = Given(default_base_url(each), DEFAULT)
    if filled[f"{section}.base_url"].value:
        # A sandbox that we start ourselves brings its own key; the trader's must not go there.
        for name, variable in (("key_id", "KALSHI_API_KEY_ID"), ("private_key_path", "KALSHI_PRIVATE_KEY_PATH")):
            if not given[f"{section}.{name}"].value and environ.get(variable):
                found = Given(environ[variable], f"environment {variable}")
                filled[f"{section}.{name}"] = read(BY_NAME[f"{section}.{name}"], found, is_text=True)
    return filled


def _venue(
    given: Mapping[str, Given], environ: Mapping[str, str], environment: Environment, file: Path | None
) -> VenueConfig:
    section = f"venue.{environment}"
    path = given[f"{section}.private_key_path"]
    return VenueConfig(
        base_url=given[f"{section}.base_url"].value,
        key_id=given[f"{section}.key_id"].value or None,
        private_key_path=_key_path(path, environ, file) if path.value else None,
        timeout_s=given["venue.timeout_s"].value,
    )


def _key_path(given: Given, environ: Mapping[str, str], file: Path | None) -> Path:
    """A path in the file is relative to the file, one from a variable or flag to where the command runs."""
    path = expanded(given.value, environ, what=f"private_key_path ({given.origin})")
    return file.parent / path if file is not None and given.origin.startswith("file ") else path


def _submit(given: Mapping[str, Given]) -> SubmitConfig:
    return SubmitConfig(
        concurrency=given["submit.concurrency"].value,
        batch_size=given["submit.batch_size"].value,
        in_flight_horizon_s=given["submit.in_flight_horizon_s"].value,
        resend=given["submit.resend"].value,
        ttl_s=given["submit.ttl_s"].value,
        wait_s=given["submit.wait_s"].value,
    )


def _limits(values: Mapping[str, Any]) -> Limits:
    window_s = values["duplicate_window_s"]
    return Limits(
        max_order_count_e2=values["max_order_count"],
        max_order_cost_e6=values["max_order_cost_dollars"],
        price_collar_e6=values["price_collar_dollars"],
        refuse_crossing=values["refuse_crossing"],
        check_market=values["check_market"],
        market_max_age_us=_micros(values["market_max_age_s"]),
        max_open_orders=values["max_open_orders"],
        max_market_exposure_e6=values["max_market_exposure_dollars"],
        max_event_exposure_e6=values["max_event_exposure_dollars"],
        max_total_exposure_e6=values["max_total_exposure_dollars"],
        max_orders_per_s=values["max_orders_per_s"],
        duplicate_window_us=None if window_s is None else _micros(window_s),
        allow_tickers=values["allow_tickers"],
        deny_tickers=values["deny_tickers"],
        max_daily_loss_e6=values["max_daily_loss_dollars"],
    )


def _warnings(given: Mapping[str, Given], environment: Environment) -> tuple[str, ...]:
    horizon = given["submit.in_flight_horizon_s"]
    if environment is Environment.SANDBOX or horizon.value >= LOWEST_UNREMARKED_HORIZON_S:
        return ()
    return (
        f"submit.in_flight_horizon_s = {_shown('', horizon.value)} ({horizon.origin}): below 30 a request still on "
        "its way could be taken for absent and be sent again",
    )


def _shown(name: str, value: Any) -> str:
    if name.startswith("limits."):
        return _shown_limit(name, value)
    if name.startswith("hooks."):
        return hooks.shown(value)
    if value is None:
        return "auto"
    if name.endswith(("key_path", "base_url")) and looks_secret(str(value)):
        return "(not shown: it looks like a secret)"
    if name.endswith(".key_id") and value:
        return "****" + value[-4:] if len(value) >= 12 else "****"
    if name == "ledger.url":
        return _without_password(value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _shown_limit(name: str, value: Any) -> str:
    match value:
        case None:
            return "off"
        case bool():
            return "true" if value else "false"
        case tuple():
            return ", ".join(value)
        case int() if name.endswith("_dollars"):
            return format_dollars(value, 2)
        case int() if name == "limits.max_order_count":
            return format_count(value)
        case float():
            return f"{value:.15g}"
        case _:
            return str(value)


def _without_password(url: str) -> str:
    if url.startswith("sqlite:"):
        return url
    scheme, separator, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    # A password may also stand in the query.
    place, question, _ = place.partition("?")
    shown_login = f"{login.partition(':')[0]}:****@" if at else ""
    return f"{scheme}{separator}{shown_login}{place}{'?****' if question else ''}"


def _micros(seconds: float) -> int:
    """Microseconds, never 0 for what is above 0."""
    return max(round(seconds * 1_000_000), 1) if seconds else 0
