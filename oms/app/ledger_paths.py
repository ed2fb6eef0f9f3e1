"""Which ledgers a halt is for, also where the configuration cannot be read: rather one too many than one too few."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from oms.config import load
from oms.config.sources import base_directory
from oms.errors import ConfigError, OmsError
from oms.ledger.engine import real_path

_URL = re.compile(r"""^\s*(?:ledger\.)?url\s*=\s*["']([^"'\r\n]+)["']""", re.MULTILINE)


def ledger_paths(flags: Mapping[str, str], environ: Mapping[str, str]) -> tuple[list[Path], str]:
    """The real path of the configured ledger, and "".

    Where the configuration is broken: every ledger that it may have meant (what the variable or the file says, and
    those under the state directory), and what is wrong with it. Raises ConfigError when there is none of them.
    """
    try:
        return [real_path(load(flags, environ).ledger_url)], ""
    except (OmsError, OSError, ValueError) as exc:
        problem = exc.message if isinstance(exc, OmsError) else str(exc)
    found = [path for text in _texts(flags, environ) if (path := _path(text)) is not None]
    state = base_directory(environ, "XDG_STATE_HOME", ".local/state")
    if state is not None:
        found += sorted((state / "oms").glob("ledger.*.sqlite3"))
    paths = list(dict.fromkeys(Path(os.path.realpath(path)) for path in found))
    if not paths:
        raise ConfigError(f"{problem}; and no ledger was found", hint="name it: oms halt --ledger FILE")
    return paths, problem


def _texts(flags: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """What may name a ledger: the variable, and lines of the file that look like its key."""
    texts = [environ.get("OMS_LEDGER__URL", "")]
    config = base_directory(environ, "XDG_CONFIG_HOME", ".config")
    default = str(config / "oms" / "config.toml") if config is not None else ""
    for name in (flags.get("config", ""), environ.get("OMS_CONFIG", ""), default):
        try:
            texts += _URL.findall(Path(name).read_text("utf-8", "replace")) if name else []
        except OSError:
            continue
    return [text for text in texts if text]


def _path(text: str) -> Path | None:
    """The file of a ledger's URL or path, where there is one."""
    try:
        path = real_path(text if ":" in text else f"sqlite:///{text}")
    except ConfigError:
        return None
    return path if path.exists() else None
