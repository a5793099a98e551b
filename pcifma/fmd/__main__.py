"""`python -I -m pcifma.fmd ORDER`: the daemon's process. ORDER is JSON, made by `pcifma fmd`: root, config, source.

The nursery is forked before anything else is loaded or open.
"""

from __future__ import annotations

import sys

from pcifma.fmd.child.nursery import Nursery, Run

# A fabric's id, plugin.yaml, and what plugins import most.
_WANTED = (
    "hashlib", "yaml", "pcifma.access.document", "bisect", "collections", "contextlib", "dataclasses", "datetime", "enum", "fnmatch",
    "functools", "heapq", "inspect", "itertools", "json", "logging", "math", "operator", "pathlib", "queue", "random", "re", "select",
    "statistics", "string", "struct", "subprocess", "tempfile", "textwrap", "threading", "traceback", "typing", "uuid", "encodings.ascii",
    "encodings.latin_1", "encodings.idna",
)  # fmt: skip


def load(everything: bool) -> Run:
    """What a plugin's process does; with *everything*, what it loads later is loaded now."""
    from pcifma.fmd.child.main import run  # noqa: PLC0415 - in the nursery, when it is needed

    if everything:
        from importlib import import_module  # noqa: PLC0415

        for name in _WANTED:
            import_module(name)
        from pcifma import plugin  # noqa: PLC0415 - what of it is imported when first asked for

        for name in plugin.__all__:
            getattr(plugin, name)

    return run


def main() -> int:
    """Run the daemon; its exit status."""
    nursery = Nursery.fork(load)
    from pcifma.fmd.start import main as start  # noqa: PLC0415 - see above

    return start(sys.argv[1], nursery)


if __name__ == "__main__":
    sys.exit(main())
