"""The real command line as a process of its own, over the stand-in; OMS_TEST_FAKE is the Python that prepares it."""

import os
import sys
from types import ModuleType

import cli_fake
from cli_fake import FakeOms


def prepare() -> None:
    """Put the stand-in where the real one is looked for."""
    module = ModuleType("oms.app")
    module.Oms = FakeOms  # type: ignore[attr-defined]
    sys.modules["oms.app"] = module
    exec(os.environ.get("OMS_TEST_FAKE", ""), {"fakes": cli_fake, "Oms": FakeOms})


if __name__ == "__main__":
    prepare()
    from oms.__main__ import main

    main()
