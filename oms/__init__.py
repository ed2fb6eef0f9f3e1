"""oms: gets orders to Kalshi exactly once, through any crash.

`from oms import Oms` is the public Python API. It is looked up on first use, because the command line must be
able to answer `--version` without importing a database or an HTTP client.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oms.app import Oms

__all__ = ["Oms", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Oms":
        from oms.app import Oms

        return Oms
    raise AttributeError(f"module 'oms' has no attribute {name!r}")
