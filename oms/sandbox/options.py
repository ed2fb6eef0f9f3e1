"""How a sandbox is started: one record, its command line, and the files of its directory."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from oms.sandbox.knobs import TIERS, Dedupe, Knobs

STATE_FILE = "exchange.sqlite3"
KEY_FILE = "private_key.pem"
ENDPOINT_FILE = "endpoint.json"
SERVING_LOCK = "serving.lock"
LAUNCH_LOCK = "launch.lock"
LOG_FILE = "sandbox.log"


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `serve` needs. Port 0 takes the directory's last port if it is free, else any."""

    dir: Path
    port: int = 0
    v1_compat: bool = False
    latency_ms: int = 0
    tier: str = "advanced"
    read_lag_ms: int = 0
    dedupe: str = "forever"
    skew_s: int = 10
    faults: str = ""  # a JSON list, or the path of a file that holds one
    fault_rate: float = 0.0
    seed: str = "0"
    idle_exit_s: int = 0  # 0: never
    clock_offset_ms: int = 0

    def knobs(self) -> Knobs:
        """The settings of the exchange; raises ValueError naming one that is not allowed."""
        settings = {
            "tier": self.tier,
            "dedupe": self.dedupe,
            "skew_ms": self.skew_s * 1000,
            "read_lag_ms": self.read_lag_ms,
            "v1_compat": self.v1_compat,
            "latency_ms": self.latency_ms,
            "clock_offset_ms": self.clock_offset_ms,
        }
        return msgspec.convert(settings, Knobs)

    def arguments(self) -> list[str]:
        """The command line that starts the same sandbox."""
        given: list[str] = []
        for name in self.__struct_fields__:
            value, flag = getattr(self, name), "--" + name.replace("_", "-")
            if isinstance(value, bool):
                given += [flag] if value else []
            elif name == "dir" or value != self.__struct_defaults__[self.__struct_fields__.index(name) - 1]:
                given += [flag, str(value)]
        return given


def read_arguments(arguments: Sequence[str]) -> ServeOptions:
    """Options from a command line; exits with usage on stderr when they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m oms.sandbox", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where the exchange keeps its file and key")
    parser.add_argument("--port", type=int, default=0, help="0: the last one if free, else any")
    parser.add_argument("--v1-compat", action="store_true", help="the retired V1 order endpoints work")
    parser.add_argument("--latency-ms", type=int, default=0, help="delay of every answer")
    parser.add_argument("--tier", choices=TIERS, default="advanced", help="rate limits")
    parser.add_argument("--read-lag-ms", type=int, default=0, help="how old the state is that reads show")
    parser.add_argument("--dedupe", choices=get_args(Dedupe), default="forever", help="how long an id is taken")
    parser.add_argument("--skew-s", type=int, default=10, help="allowed distance of signed timestamps")
    parser.add_argument("--faults", default="", help="fault script: a JSON list or a file")
    parser.add_argument("--fault-rate", type=float, default=0.0, help="share of requests with a fault by seed")
    parser.add_argument("--seed", default="0", help="decides first quotes and faults")
    parser.add_argument("--idle-exit-s", type=int, default=0, help="stop after so long without a request")
    parser.add_argument("--clock-offset-ms", type=int, default=0, help="exchange clock minus this machine's")
    found: dict[str, Any] = vars(parser.parse_args(arguments))
    return ServeOptions(**found)
