"""What was given, and where: flags before environment before file before default.

Reads the one configuration file. A key or variable that is not in the table is an error naming the nearest one that
is: a mistyped `environment` would otherwise quietly mean the sandbox, a mistyped limit none.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Any

from oms.config.keys import BY_NAME, BY_VARIABLE, KEYS, SECTIONS, Key
from oms.config.values import BadValue, looks_secret
from oms.errors import ConfigError

CONFIG_VARIABLE = "OMS_CONFIG"
DEFAULT = "default"
MAX_FILE_BYTES = 1_000_000

# Not settings: the file itself, where quickstart.py puts its environment, what a hook is marked by, and what the
# tests are told.
_OTHER_VARIABLES = (CONFIG_VARIABLE, "OMS_VENV", "OMS_DEBUG", "OMS_IN_HOOK")
_PREFIX = "OMS_"
_TEST_PREFIX = "OMS_TEST_"
_RESEMBLES = 0.6


@dataclass(frozen=True, slots=True)
class Given:
    """One value as it was read, and where it was found: `default`, `file PATH`, `environment NAME` or `flag --x`."""

    value: Any
    origin: str

    @property
    def is_default(self) -> bool:
        return self.origin == DEFAULT


def gather(flags: Mapping[str, str], environ: Mapping[str, str], file: Path | None) -> dict[str, Given]:
    """Every key with its value and origin.

    `flags` maps key names to text. Raises ConfigError for a file that cannot be read or is not TOML, for unknown keys
    and variables, and for values of a wrong kind, in any environment's section.
    """
    _refuse_unknown_variables(environ)
    of_file = _of_file(file)
    return {key.name: _chosen(key, flags, environ, of_file) for key in KEYS}


def config_file(flags: Mapping[str, str], environ: Mapping[str, str]) -> Path | None:
    """The file to read: --config, else OMS_CONFIG, else config.toml under $XDG_CONFIG_HOME/oms if there is one."""
    for given, origin in (
        (flags.get("config", ""), "flag --config"),
        (environ.get(CONFIG_VARIABLE, ""), f"environment {CONFIG_VARIABLE}"),
    ):
        if given:
            return expanded(given, environ, what=origin)
    directory = base_directory(environ, "XDG_CONFIG_HOME", ".config")
    if directory is None:
        return None
    path = directory / "oms" / "config.toml"
    try:
        return path if path.exists() else None
    except OSError as failure:
        raise ConfigError(f"cannot look for {path}: {failure.strerror}") from failure


def base_directory(environ: Mapping[str, str], variable: str, below_home: str) -> Path | None:
    """An XDG base directory: the variable if it is an absolute path (the standard ignores others), else below HOME."""
    given = Path(environ.get(variable, ""))
    if given.is_absolute():
        return given
    home = Path(environ.get("HOME", ""))
    return home / below_home if home.is_absolute() else None


def expanded(path: str, environ: Mapping[str, str], *, what: str) -> Path:
    """The path with a leading ~/ replaced by HOME. Raises ConfigError for ~user and for ~ without a HOME."""
    if not path.startswith("~"):
        return Path(path)
    home = environ.get("HOME", "")
    if not path.startswith("~/") or not home:
        raise ConfigError(f"{what}: cannot tell what {path} is; give the whole path")
    return Path(home) / path[2:]


def _chosen(key: Key, flags: Mapping[str, str], environ: Mapping[str, str], of_file: Mapping[str, Given]) -> Given:
    if key.name in flags:
        return read(key, Given(flags[key.name], f"flag {_flag(key)}"), is_text=True)
    # An empty variable is as good as none: shells and service files cannot always unset one.
    if environ.get(key.variable):
        return read(key, Given(environ[key.variable], f"environment {key.variable}"), is_text=True)
    if key.name in of_file:
        return read(key, of_file[key.name], is_text=False)
    return Given(key.default, DEFAULT)


def _flag(key: Key) -> str:
    return key.flag or "--" + key.name.rpartition(".")[2].replace("_", "-")


def read(key: Key, given: Given, *, is_text: bool) -> Given:
    """The given value as the key's own kind. Raises ConfigError naming key, value, origin and what is expected."""
    try:
        value = key.read(given.value, is_text)
    except BadValue as bad:
        shown = "(not shown: it may be a secret)" if key.is_secret else _shown(given.value)
        raise ConfigError(f"{key.name} = {shown} ({given.origin}): expected {bad}") from None
    return Given(value, given.origin)


def _shown(value: object) -> str:
    if isinstance(value, str) and looks_secret(value):
        return "(not shown: it looks like a secret)"
    text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _of_file(file: Path | None) -> dict[str, Given]:
    if file is None:
        return {}
    return dict(_flattened(_parsed(file), "", f"file {file}"))


def _parsed(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as failure:
        raise ConfigError(f"cannot read the configuration file {file}: {failure.strerror}") from failure
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"the configuration file {file} is larger than {MAX_FILE_BYTES} bytes")
    try:
        return tomllib.loads(content.decode("utf-8"), parse_float=Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, InvalidOperation, RecursionError, ValueError) as failure:
        raise ConfigError(f"the configuration file {file} is not TOML: {failure}") from failure


def _flattened(table: Mapping[str, Any], prefix: str, origin: str) -> Iterator[tuple[str, Given]]:
    for part, value in table.items():
        name = prefix + part
        is_section = name in SECTIONS and "." not in part
        if is_section and isinstance(value, dict):
            yield from _flattened(value, f"{name}.", origin)
        elif is_section:
            raise ConfigError(f"{name} = {_shown(value)} ({origin}): expected a table, [{name}]")
        elif name in BY_NAME and "." not in part:
            yield name, Given(value, origin)
        else:
            known = SECTIONS if isinstance(value, dict) else BY_NAME
            raise ConfigError(f"unknown key {name} ({origin}); did you mean {_nearest(name, known)}?")


def _nearest(name: str, known: Iterable[str]) -> str:
    """What was most likely meant: the same last part in any section, else what it begins, else what it resembles."""
    candidates = sorted(known)
    last = name.rpartition(".")[2]
    same = [candidate for candidate in candidates if candidate.rpartition(".")[2] == last]
    longer = [candidate for candidate in candidates if candidate.startswith(name)]
    return get_close_matches(name, same or longer or candidates, n=1, cutoff=0.0)[0]


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {name.removeprefix(_PREFIX) for name in (*BY_VARIABLE, *_OTHER_VARIABLES)}
    for variable in sorted(environ):
        name = variable.removeprefix(_PREFIX)
        if not variable.startswith(_PREFIX) or name in known or variable.startswith(_TEST_PREFIX):
            continue
        nearest = _nearest(name, known)
        # A section and a key can only be meant for us; other programs may have names that merely begin like ours.
        if "__" in name or nearest.startswith(name) or SequenceMatcher(None, name, nearest).ratio() >= _RESEMBLES:
            raise ConfigError(f"unknown variable {variable} (environment); did you mean {_PREFIX}{nearest}?")
