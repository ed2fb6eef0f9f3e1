"""The judge stands alone: what it judges is not among what it is made of."""

import subprocess
import sys

ALONE = """
import importlib, pkgutil, sys

class Closed:
    def find_spec(self, name, path=None, target=None):
        room = name.split(".")[0]
        if room in ("msgspec", "sqlalchemy", "requests", "rich", "click"):
            raise ImportError(f"the judge must not need {name}")
        if room == "oms" and name not in ("oms", "oms.lab") and not (name + ".").startswith("oms.lab.judge."):
            raise ImportError(f"the judge must not need {name}")

sys.meta_path.insert(0, Closed())
import oms.lab.judge
for module in pkgutil.walk_packages(oms.lab.judge.__path__, "oms.lab.judge."):
    importlib.import_module(module.name)
print(*sorted(name for name in sys.modules if name.startswith("oms")))
"""


def test_the_judge_imports_nothing_else_of_oms() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert "oms.lab.judge.finding" in loaded
    assert {name for name in loaded if not name.startswith("oms.lab.judge")} == {"oms", "oms.lab"}
