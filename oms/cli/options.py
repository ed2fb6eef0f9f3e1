"""The options that every command takes, before or after its name; the nearer one wins.

click hands an option to the command it stands behind, so each command gets the shared ones appended, and a callback
keeps only what was really given: a default of the inner command must not beat a value given to the outer one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

FORMATS = ("table", "json", "jsonl", "csv")
ENVIRONMENTS = ("sandbox", "demo", "prod")


@dataclass(slots=True)
class Settings:
    """What the shared options said, wherever they stood; None where nothing was said."""

    config: str | None = None
    environment: str | None = None
    output: str | None = None
    verbose: int = 0


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    settings: Settings | None = getattr(ctx.obj, "settings", None)
    name = param.name
    if settings is None or name is None or ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
        return
    if name == "verbose":
        settings.verbose += value
    elif name in ("output", "as_json"):
        _keep_output(ctx, settings, "json" if name == "as_json" else value)
    else:
        setattr(settings, name, value)


def _keep_output(ctx: click.Context, settings: Settings, value: str) -> None:
    key = f"oms.output {ctx.command_path}"
    said_here = ctx.meta.setdefault(key, value)
    if said_here != value:
        raise click.UsageError(f"-o {said_here} and -o {value} cannot both be meant (--json is -o json)", ctx)
    settings.output = value


def shared() -> list[click.Parameter]:
    """A fresh set of the shared options."""
    common: Mapping[str, Any] = {"expose_value": False, "callback": _keep}
    return [
        click.Option(["--config"], metavar="FILE", help="Read this TOML file (else OMS_CONFIG).", **common),
        click.Option(
            ["--env", "environment"],
            type=click.Choice(ENVIRONMENTS),
            help="Which exchange (else OMS_ENVIRONMENT).",
            **common,
        ),
        click.Option(["-o", "--output"], type=click.Choice(FORMATS), help="Form of the answer on stdout.", **common),
        click.Option(["--json", "as_json"], is_flag=True, help="Short for -o json.", **common),
        click.Option(["-v", "--verbose"], count=True, help="Log to stderr; -vv for more.", **common),
    ]


class Command(click.Command):
    """A command that also takes the shared options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(shared())


class Group(click.Group):
    """A group of commands, itself taking the shared options."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(shared())


def output_asked(argv: list[str]) -> str | None:
    """The form of answer that raw arguments ask for: needed when they are too wrong to be parsed."""
    asked = None
    for place, word in enumerate(argv):
        if word == "--":
            break
        if word == "--json":
            asked = "json"
        elif word in ("-o", "--output"):
            asked = argv[place + 1] if place + 1 < len(argv) else asked
        elif word.startswith("--output="):
            asked = word.removeprefix("--output=")
        elif word.startswith("-o") and not word.startswith("--"):
            asked = word.removeprefix("-o")
    return asked if asked in FORMATS else None
