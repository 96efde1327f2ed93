"""How the files of the catalogue are read from YAML."""

from __future__ import annotations

from typing import Any

import yaml

FAST_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is there
