"""TOML file, environment and flags in, one frozen Config out, each value with its origin.

`keys` is the table of every setting, `values` reads one value, `hosts` holds where an environment may send to, `hooks`
who is told of what happens,
`sources` finds what was given and where, `settings` puts it together. Reads one file and nothing else: the
environment is an argument, no directory is made, no key file opened. Supports P2: demo, prod and sandbox can never
share a ledger or a host by an oversight in the settings.
"""

from oms.config.hooks import HooksConfig
from oms.config.keys import Environment
from oms.config.settings import Config, SubmitConfig, VenueConfig, load

__all__ = ["Config", "Environment", "HooksConfig", "SubmitConfig", "VenueConfig", "load"]
