"""The shared options, before and after the command's name, and what `--help` costs."""

from pathlib import Path

import click
import pytest
from cli_fake import Cli, FakeOms

from oms.cli.root import COMMANDS, root


@pytest.mark.parametrize("words", [("orders",), ("config", "show"), ("submit",), ("db", "check")])
def test_shared_options_hold_before_and_after_every_name(
    fake: type[FakeOms], cli: Cli, words: tuple[str, ...], tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[submit]\nconcurrency = 3\n")
    given = ("--config", str(config), "--env", "demo", "-o", "json", "-v")
    expected = cli(*given, *words)
    assert expected.code == 0
    for place in range(len(words) + 1):
        result = cli(*words[:place], *given, *words[place:])
        assert (result.code, result.out) == (0, expected.out)


def test_the_nearer_option_wins(fake: type[FakeOms], cli: Cli) -> None:
    shown = cli("--env", "prod", "--json", "config", "show", "--env", "demo", "-o", "jsonl").out
    assert '{"key":"environment","value":"demo","origin":"flag --env"}' in shown.splitlines()


def test_the_configuration_is_the_one_that_is_used(
    fake: type[FakeOms], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMS_ENVIRONMENT", "demo")
    assert '"environment","value":"demo","origin":"environment OMS_ENVIRONMENT"' in cli("config", "show", "--json").out
    assert '"environment","value":"prod","origin":"flag --env"' in cli("config", "show", "--json", "--env", "prod").out


def test_a_wrong_configuration_is_exit_2_for_every_command(fake: type[FakeOms], cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[submit]\nconcurency = 3\n")
    for words in (("config", "show"), ("config", "validate"), ("orders",), ("submit",)):
        result = cli("--config", str(config), *words)
        assert result.code == 2
        assert "concurrency" in result.err
    assert fake.calls == []


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append(((*path, name), command))
        if isinstance(command, click.Group):
            found += _commands(command, (*path, name))
    return found


@pytest.mark.parametrize(("path", "command"), _commands(root), ids=lambda each: str(each))
def test_every_command_explains_itself(cli: Cli, path: tuple[str, ...], command: click.Command) -> None:
    for flag in ("-h", "--help"):
        result = cli(*path, flag)
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith(f"Usage: oms {' '.join(path)}")
        for option in ("--config", "--env", "--output", "--json", "--verbose"):
            assert option in result.out


def test_the_table_of_commands_says_what_the_commands_say() -> None:
    context = click.Context(root)
    for name, (_, _, line) in COMMANDS.items():
        command = root.get_command(context, name)
        assert command is not None
        assert command.short_help == line
        assert (command.help or "").startswith(line.split(":")[0].rstrip("."))


@pytest.mark.parametrize("topic", ["exit-codes", "environment", "order-states", "input", "output"])
def test_topics_fit_a_page(cli: Cli, topic: str) -> None:
    result = cli("help", topic)
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 120
    assert topic in cli("help").out


def test_help_explains_a_command(cli: Cli) -> None:
    assert "--dry-run" in cli("help", "submit").out
    assert "SOURCE" in cli("help", "db", "restore").out
