"""A plugin's own data files: YAML as written, or the JSON that the build made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pcifma.errors import PluginError


def load_data(path: Path) -> Any:
    """The content of the YAML file at *path*; of the compiled `.json` beside it where there is one. PluginError."""
    compiled = path.with_suffix(".json")
    try:
        if compiled.is_file():
            return json.loads(compiled.read_text(encoding="utf-8"))
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as err:
        raise PluginError(f"{path}: cannot be read: {' '.join(str(err).split())}") from err
    import yaml  # noqa: PLC0415 # a checkout, or a site's own file: what is built in was compiled

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as err:
        raise PluginError(f"{path}: not YAML: {' '.join(str(err).split())}") from err
