"""The first command a stranger runs: what it decides without a network, and (slow, opt-in) that it really installs."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "quickstart.py"
NEW_PIP = (23, 0)


@pytest.fixture(scope="module")
def quickstart() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quickstart", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules["quickstart"] = module
    spec.loader.exec_module(module)
    return module


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env=dict(os.environ) | environ, cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "verb", "rest", "is_verbose"),
    [
        ([], "demo", (), False),
        (["demo"], "demo", (), False),
        (["-v"], "demo", (), True),
        (["--json"], "demo", ("--json",), False),
        (["-v", "demo", "--keep"], "demo", ("--keep",), True),
        (["test"], "test", (), False),
        (["test", "-v", "-k", "units"], "test", ("-v", "-k", "units"), False),
        (["--verbose", "test", "tests/test_units.py"], "test", ("tests/test_units.py",), True),
    ],
)
def test_words_before_the_verb_are_ours_and_those_after_it_are_passed_on(
    quickstart: ModuleType, arguments: list[str], verb: str, rest: tuple[str, ...], is_verbose: bool
) -> None:
    assert quickstart.parse(arguments) == quickstart.Request(verb, rest, is_verbose)


def test_a_mistyped_verb_is_refused_before_anything_is_installed(quickstart: ModuleType, tmp_path: Path) -> None:
    done = run("tset", OMS_VENV=str(tmp_path / "venv"))
    assert done.returncode == 2
    assert "unknown word 'tset'" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_help_installs_nothing(tmp_path: Path) -> None:
    done = run("--help", OMS_VENV=str(tmp_path / "venv"))
    assert done.returncode == 0
    assert "python3 quickstart.py [-v] test" in done.stdout
    assert not (tmp_path / "venv").exists()


def test_an_older_python_is_refused_in_one_line_with_exit_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = compile(SCRIPT.read_text(encoding="utf-8"), str(SCRIPT), "exec")
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
    with pytest.raises(SystemExit) as ended:
        exec(program, {"__name__": "__main__", "__file__": str(SCRIPT)})
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: oms needs Python 3.11 or newer, this is 3.10\n"


def test_the_file_can_be_read_by_a_python_that_is_too_old_to_run_it() -> None:
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 7))


def test_a_stamp_changes_with_python_pyproject_checkout_and_extras(quickstart: ModuleType) -> None:
    stamp = quickstart.wanted_stamp(b"a", "", root=Path("/src"))
    assert stamp.python == ".".join(str(part) for part in sys.version_info[:3])
    others = [
        quickstart.wanted_stamp(b"b", "", root=Path("/src")),
        quickstart.wanted_stamp(b"a", "", root=Path("/elsewhere")),
        quickstart.Stamp("3.99.0", stamp.root, stamp.pyproject, ""),
    ]
    assert all(not stamp.is_met_by(other.text()) for other in others)
    assert not stamp.is_met_by("")
    assert not stamp.is_met_by(quickstart.UNFINISHED)


def test_an_environment_with_the_test_tools_serves_the_demo_but_not_the_other_way_round(quickstart: ModuleType) -> None:
    demo = quickstart.wanted_stamp(b"a", "")
    test = quickstart.wanted_stamp(b"a", "test")
    assert demo.is_met_by(demo.text())
    assert demo.is_met_by(test.text())
    assert test.is_met_by(test.text())
    assert not test.is_met_by(demo.text())


def test_a_finished_environment_is_used_without_running_anything(
    quickstart: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    stamp = quickstart.wanted_stamp((quickstart.ROOT / "pyproject.toml").read_bytes(), "test")
    (tmp_path / quickstart.STAMP).write_text(stamp.text())
    quickstart.prepare(tmp_path, quickstart.Request("test"), {})
    assert capsys.readouterr().err == ""


def test_pip_makes_ensurepip_unnecessary(quickstart: ModuleType) -> None:
    make, install = quickstart.commands(Path("/v"), "test", python="/p", pip=NEW_PIP, ensurepip=False)
    assert make == ["/p", "-m", "venv", "--without-pip", "/v"]
    assert install[:6] == ["/p", "-m", "pip", "--python", "/v/bin/python", "install"]
    assert install[-2:] == ["-e", ".[test]"]


@pytest.mark.parametrize("pip", [(), (9, 0), (22, 2)])
def test_without_a_pip_that_knows_python_option_ensurepip_serves(quickstart: ModuleType, pip: tuple[int, ...]) -> None:
    make, install = quickstart.commands(Path("/v"), "", python="/p", pip=pip, ensurepip=True)
    assert make == ["/p", "-m", "venv", "/v"]
    assert install[:4] == ["/v/bin/python", "-m", "pip", "install"]
    assert install[-2:] == ["-e", "."]


@pytest.mark.parametrize("pip", [(), (22, 2)])
def test_without_pip_and_ensurepip_the_message_names_the_package_to_install(
    quickstart: ModuleType, pip: tuple[int, ...]
) -> None:
    with pytest.raises(quickstart.SetupFailed, match=r"neither pip .* nor ensurepip") as raised:
        quickstart.commands(Path("/v"), "", python="/p", pip=pip, ensurepip=False)
    assert raised.value.exit_code == 1
    assert "apt install python3-pip" in str(raised.value)


def test_pip_settings_that_send_packages_elsewhere_are_dropped(quickstart: ModuleType) -> None:
    given = {"PIP_TARGET": "/x", "PIP_PREFIX": "/x", "PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1", "PIP_CERT": "c"}
    assert quickstart.pip_environment(given) == {"PIP_USER": "0", "PIP_CERT": "c"}


def test_oms_venv_moves_the_environment_and_its_absence_means_beside_the_script(quickstart: ModuleType) -> None:
    assert quickstart.venv_location({}) == SCRIPT.parent / ".venv"
    assert quickstart.venv_location({"OMS_VENV": "/elsewhere/v"}) == Path("/elsewhere/v")


def test_a_directory_of_somebody_else_is_never_cleared(quickstart: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(quickstart.SetupFailed, match="was not made by quickstart"):
        quickstart.clear(tmp_path)
    assert (tmp_path / "letters.txt").read_text() == "mine"


def test_a_half_made_environment_of_ours_is_cleared(quickstart: ModuleType, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "lib").mkdir(parents=True)
    (venv / quickstart.STAMP).write_text(quickstart.UNFINISHED)
    quickstart.clear(venv)
    assert not venv.exists()


def test_a_failed_step_shows_what_the_program_said_and_the_next_step(quickstart: ModuleType) -> None:
    command = [sys.executable, "-c", "print('no such package'); raise SystemExit(7)"]
    with pytest.raises(quickstart.SetupFailed, match="run the same command again") as raised:
        quickstart.run(command, False, dict(os.environ))
    assert raised.value.exit_code == 1
    assert raised.value.said == "no such package\n"


def test_demo_and_pytest_get_the_arguments(quickstart: ModuleType) -> None:
    assert quickstart.program(Path("/v"), quickstart.Request("demo", ("--json",))) == [
        "/v/bin/python", "-m", "oms", "demo", "--json",
    ]  # fmt: skip
    test = ["/v/bin/python", "-m", "pytest"]
    assert quickstart.program(Path("/v"), quickstart.Request("test", ("-n0", "-x"))) == [*test, "-n0", "-x"]
    assert quickstart.program(Path("/v"), quickstart.Request("test", ("-x",))) == [*test, *quickstart.AT_A_TIME, "-x"]


@pytest.mark.lab  # of the long runs, not of the laboratory: it installs everything, twice
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_installs_repairs_a_half_made_environment_and_is_then_fast(tmp_path: Path) -> None:
    if not (os.environ.get("CI") or os.environ.get("OMS_TEST_INSTALL")):
        pytest.skip("needs a package index and a minute: OMS_TEST_INSTALL=1 runs it")
    venv = tmp_path / "venv"
    first = run("test", "--version", OMS_VENV=str(venv))
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("pytest ")
    assert "setup: test tools" in first.stderr

    again = run("test", "--version", OMS_VENV=str(venv))
    assert (again.returncode, again.stderr) == (0, "")

    (venv / ".oms-installed").write_text("unfinished\n")
    (venv / "bin" / "python").unlink()
    repaired = run("test", "--version", OMS_VENV=str(venv))
    assert repaired.returncode == 0, repaired.stderr
