"""A plugin's own data files: YAML as written, or the JSON that the build made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pcifma.errors import FormatError, PluginError

SIZE_LIMIT = 1 << 20  # a manifest has some hundred bytes, the longest rules 33 KiB


def load_data(path: Path) -> Any:
    """The content of the YAML file at *path*; of the compiled `.json` beside it where there is one. PluginError."""
    compiled = path.with_suffix(".json")
    try:
        if compiled.is_file():
            return json.loads(_content(compiled))
        data = _content(path)
    except (OSError, ValueError, RecursionError) as err:
        raise PluginError(f"{path}: cannot be read: {' '.join(str(err).split())}") from err
    from pcifma.access.document import load_yaml  # noqa: PLC0415 # a checkout, or a site's own file: what is built in was compiled

    try:
        return load_yaml(data, str(path))
    except FormatError as err:
        raise PluginError(str(err)) from err


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(SIZE_LIMIT + 1)
    if len(data) > SIZE_LIMIT:
        raise ValueError(f"larger than {SIZE_LIMIT >> 10} KiB")
    return data
