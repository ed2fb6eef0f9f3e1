"""The command line as a process: what it imports, terminals and pipes, locales, closed streams, signals."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

import oms

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
HEAVY = ("sqlalchemy", "alembic", "msgspec", "requests", "rich", "cryptography", "starlette", "uvicorn", "logging")
OMS = (sys.executable, "-m", "oms")
FAKE = (sys.executable, str(HERE / "cli_fake_run.py"))
DEADLINE_S = 30


def environment(**changes: str | None) -> dict[str, str]:
    merged = {**os.environ, "PYTHONPATH": str(PROJECT), **changes}
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TERM"):
        merged.setdefault(name, None)
    return {name: value for name, value in merged.items() if value is not None}


def call(
    *words: str, program: tuple[str, ...] = OMS, cwd: Path | None = None, **env: str | None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=cwd,
        env=environment(**env),
        timeout=DEADLINE_S,
        check=False,
    )


def on_terminal(
    *words: str, answer: str = "", stderr: bool = True, env: Mapping[str, str | None] | None = None
) -> tuple[int, str]:
    """Run over the stand-in with a controlling terminal for stdin, stdout and, unless said otherwise, stderr.

    `answer` is typed when the question has appeared.
    """
    pid, ours = pty.fork()
    if pid == 0:
        if not stderr:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.execve(FAKE[0], [*FAKE, *words], environment(**{"TERM": "xterm", "COLUMNS": "80", **(env or {})}))
    said = b""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        try:
            said += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if answer and b"[y/N]" in said:
            os.write(ours, answer.encode())
            answer = ""
    os.close(ours)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("-h",), ()], ids=str)
def test_saying_what_it_is_imports_click_and_nothing_heavy(words: tuple[str, ...]) -> None:
    program = (
        "import sys, atexit, json\n"
        "atexit.register(lambda: sys.stderr.write('MODULES' + json.dumps(sorted(sys.modules))))\n"
        f"sys.argv = ['oms', *{list(words)!r}]\n"
        "from oms.__main__ import main\nmain()"
    )
    done = call("-c", program, program=(sys.executable,))
    modules = json.loads(done.stderr.split("MODULES")[1])
    assert [name for name in modules if name.split(".")[0] in HEAVY] == []
    commands = [name for name in modules if name.startswith("oms.cli.")]
    assert not {"oms.cli.submit", "oms.cli.orders", "oms.cli.topics", "oms.cli.columns"} & set(commands)


def test_python_m_oms_and_the_installed_script_are_the_same() -> None:
    assert call("--version").stdout == f"oms {oms.__version__}\n"
    script = Path(sys.executable).parent / "oms"
    if script.exists():
        assert call("--version", program=(str(script),)).stdout == f"oms {oms.__version__}\n"


@pytest.mark.parametrize("missing", ["click", "msgspec"])
def test_missing_dependencies_are_one_line_and_exit_2(missing: str, tmp_path: Path) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; sys.argv[0] = 'oms'; from oms.__main__ import main; main()"
    done = call("-c", program, "orders", program=(sys.executable,), XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == "error: dependencies missing, run: python3 quickstart.py\n"
    assert done.stdout == ""


def test_a_terminal_shows_the_newest_100_and_says_so() -> None:
    many = "Oms.answer_orders = [fakes.order(row) for row in range(1, 251)]"
    code, said = on_terminal("orders", env={"OMS_TEST_FAKE": many})
    assert code == 0
    assert said.count("KXTEST-26-A") == 100
    assert "showing the newest 100" in said
    _, said = on_terminal("orders", "--limit", "120", env={"OMS_TEST_FAKE": many})
    assert said.count("KXTEST-26-A") == 120
    _, said = on_terminal("submit", env={"OMS_TEST_FAKE": many})
    assert said.count("KXTEST-26-A") == 100
    assert "150 more orders not shown" in said


@pytest.mark.parametrize("words", [("orders",), ("submit",)])
def test_a_terminal_shows_an_empty_list_as_its_heads(words: tuple[str, ...]) -> None:
    code, said = on_terminal(*words, env={"OMS_TEST_FAKE": "Oms.answer_orders = []", "NO_COLOR": "1"})
    assert code == 0, said
    assert "ROW  CLIENT_ORDER_ID" in said


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_a_terminal_of_any_width_shows_whole_ids(columns: str) -> None:
    _, said = on_terminal("orders", env={"COLUMNS": columns})
    assert "0a5e0000-0000-8000-8000-000000000001" in said


@pytest.mark.fault(89)
def test_a_title_with_markup_or_escapes_is_only_text_on_a_terminal() -> None:
    hostile = "Oms.answer_orders = [fakes.order(status='rejected', detail='\\x1b]0;x\\x07[red]y[/red]\\u202e')]"
    _, said = on_terminal("orders", env={"OMS_TEST_FAKE": hostile, "COLUMNS": "300", "NO_COLOR": "1"})
    assert "\\x1b]0;x\\x07[red]y[/red]\\u202e" in said
    assert "\x1b]0" not in said


@pytest.mark.parametrize(
    ("env", "colored"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": ""}, True),
    ],
    ids=str,
)
def test_colour_on_a_terminal(env: dict[str, str], colored: bool) -> None:
    _, said = on_terminal("orders", env=env)
    assert ("\x1b[" in said) is colored


def test_a_pipe_has_colour_only_when_forced_and_never_in_json() -> None:
    for words in (("orders",), ("orders", "--json"), ("orders", "-o", "csv")):
        assert "\x1b" not in call(*words, program=FAKE).stdout
        assert "\x1b" not in call(*words, program=FAKE, FORCE_COLOR="1").stdout
    failing = "Oms.failure = RuntimeError('x')"
    assert "\x1b[" not in call("orders", program=FAKE, OMS_TEST_FAKE=failing).stderr
    assert "\x1b[" in call("orders", program=FAKE, OMS_TEST_FAKE=failing, CLICOLOR_FORCE="1").stderr


ASKING = "Oms.preview_count = 2"


@pytest.mark.parametrize(
    ("answer", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 2), ("\n", 2), ("\x04", 2), ("\x03", 130)]
)
def test_prod_asks_on_a_terminal_and_no_is_the_default(answer: str, code: int, tmp_path: Path) -> None:
    file = tmp_path / "o.csv"
    file.write_text("x\n")
    ended, said = on_terminal("--env", "prod", "submit", str(file), answer=answer, env={"OMS_TEST_FAKE": ASKING})
    assert "Place 2 orders costing $7.00 in prod? [y/N]" in said
    assert ended == code


def test_a_question_nobody_would_see_is_not_asked(tmp_path: Path) -> None:
    file = tmp_path / "o.csv"
    file.write_text("x\n")
    words = ("--env", "prod", "submit", str(file))
    code, _ = on_terminal(*words, stderr=False, env={"OMS_TEST_FAKE": ASKING})
    assert code == 2


def test_progress_shows_on_a_terminal_after_half_a_second_and_nowhere_else() -> None:
    slow = """
import time
def drain(self, *, progress, **call):
    from oms.records import Progress
    began = time.monotonic()
    while time.monotonic() < began + 0.7:
        progress(Progress(phase="sending", done=37 if time.monotonic() > began + 0.4 else 0, total=120, in_doubt=2))
        time.sleep(0.02)
    return fakes.report()
Oms.drain = drain
"""
    _, said = on_terminal("submit", env={"OMS_TEST_FAKE": slow})
    assert "sending 37/120, 2 in doubt" in said
    assert "sending 0/120" not in said
    assert "37/120" not in call("submit", program=FAKE, OMS_TEST_FAKE=slow).stderr
    assert "37/120" not in on_terminal("submit", env={"OMS_TEST_FAKE": slow, "TERM": "dumb"})[1]


@pytest.mark.fault(84)
@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1", None])
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_any_locale_shows_any_text(locale: str | None, form: str) -> None:
    foreign = "Oms.answer_orders = [fakes.order(tag='\\u20ac\\u4e2d', detail='\\u20ac')]"
    variables = {
        "LC_ALL": locale,
        "LANG": locale,
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "OMS_TEST_FAKE": foreign,
    }
    done = subprocess.run(
        [*FAKE, "orders", "-o", form],
        capture_output=True,
        env=environment(**variables),
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    if form == "json":
        assert json.loads(done.stdout)["orders"][0]["tag"] == "\u20ac\u4e2d"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_came_closed_stop_nothing(closed: str) -> None:
    script = f'exec "$0" "$@" {closed}'
    done = subprocess.run(
        ["sh", "-c", script, *FAKE, "orders"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("prepared", "code"),
    [
        ("", 0),
        ("Oms.answer_report = fakes.report(exit_code=5)", 5),
        ("Oms.is_unsettled = True", 3),
    ],
)
@pytest.mark.parametrize("lost", ["pipe", "full"])
def test_a_lost_stdout_is_no_traceback_and_keeps_the_code(prepared: str, code: int, lost: str) -> None:
    long = f"Oms.answer_orders = [fakes.order(row) for row in range(1, 2000)]\n{prepared}"
    if lost == "full":
        with open("/dev/full", "wb") as stdout:
            done = subprocess.run(
                [*FAKE, "submit", "--json"],
                stdout=stdout,
                stderr=subprocess.PIPE,
                env=environment(OMS_TEST_FAKE=long),
                check=False,
            )
        assert (done.returncode, b"Traceback" in done.stderr) == (code, False)
        return
    child = subprocess.Popen(
        [*FAKE, "submit", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(OMS_TEST_FAKE=long)
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    assert (child.wait(timeout=DEADLINE_S), b"Traceback" in said) == (code, False)


WAITING = """
import sys, time
class Interrupt:
    asked = 0
    def request(self, signum):
        self.asked = signum
def drain(self, **call):
    sys.stderr.write("running\\n"); sys.stderr.flush()
    deadline = time.monotonic() + 20
    while not self.interrupt.asked and time.monotonic() < deadline:
        time.sleep(0.01)
    if WAIT_FOR_SECOND:
        sys.stderr.write("asked\\n"); sys.stderr.flush()
        time.sleep(20)
    return fakes.report(exit_code=128 + self.interrupt.asked)
Oms.drain = drain
sys.modules["oms.interrupt"] = type(sys)("oms.interrupt")
sys.modules["oms.interrupt"].Interrupt = Interrupt
"""


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("twice", [False, True])
def test_the_first_signal_asks_the_run_to_stop_and_the_second_ends_it(signum: int, code: int, twice: bool) -> None:
    prepared = WAITING.replace("WAIT_FOR_SECOND", str(twice))
    child = subprocess.Popen(
        [*FAKE, "submit", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(OMS_TEST_FAKE=prepared),
    )
    assert child.stderr is not None
    assert child.stdout is not None
    assert child.stderr.readline() == b"running\n"
    child.send_signal(signum)
    if twice:
        assert child.stderr.readline() == b"asked\n"
        child.send_signal(signum)
    out, _ = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == code
    assert (b'"orders"' in out) is not twice


def test_a_job_in_the_background_of_a_script_stops_as_well() -> None:
    prepared = WAITING.replace("WAIT_FOR_SECOND", "False")
    script = '"$@" 2>"$0" & while ! [ -s "$0" ]; do sleep 0.05; done; kill -INT $!; wait $!'
    with tempfile.NamedTemporaryFile() as said:
        done = subprocess.run(
            ["sh", "-c", script, said.name, *FAKE, "submit", "--json"],
            capture_output=True,
            env=environment(OMS_TEST_FAKE=prepared),
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode == 130


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_waiting_for_standard_input_ends_at_the_first_signal(signum: int, code: int) -> None:
    prepared = """
import sys
real = Oms.submit_file
def submit_file(self, path, *, stdin, **call):
    sys.stderr.write("reading\\n"); sys.stderr.flush()
    stdin.read(1 << 20)
Oms.submit_file = submit_file
"""
    child = subprocess.Popen(
        [*FAKE, "submit", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(OMS_TEST_FAKE=prepared),
    )
    assert child.stderr is not None
    assert child.stderr.readline() == b"reading\n"
    child.send_signal(signum)
    child.communicate(timeout=DEADLINE_S)
    assert child.returncode == code


@pytest.mark.fault(84)
@pytest.mark.parametrize("words", [("config", "show", "--json"), ("--help",), ("help", "order-states")], ids=str)
def test_a_read_only_directory_and_no_home_are_enough(words: tuple[str, ...], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = call(*words, cwd=tmp_path, HOME=None, XDG_CONFIG_HOME=None)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_the_shell_can_complete_commands_and_options() -> None:
    done = call(_OMS_COMPLETE="bash_complete", COMP_WORDS="oms re", COMP_CWORD="1")
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == {"reconcile", "report", "resolve"}
    done = call(_OMS_COMPLETE="bash_complete", COMP_WORDS="oms submit --dry", COMP_CWORD="2")
    assert "--dry-run" in done.stdout
