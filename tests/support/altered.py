"""`pcifma fmd` with the built-in plugins of DIRECTORY: `altered.py DIRECTORY PCIFMA fmd --root ROOT --source SOURCE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pcifma.fmd.__main__ import load
from pcifma.fmd.child.nursery import Nursery


def main() -> int:
    """Run the daemon in this process; its exit status."""
    directory, _, _, _, root, _, source = sys.argv[1:]
    nursery = Nursery.fork(load)
    from pcifma.fmd import start  # noqa: PLC0415 - as the daemon does it
    from pcifma.plugin import loader  # noqa: PLC0415

    loader.builtin_directory = lambda: Path(directory)
    return start.main(json.dumps({"root": root, "config": None, "source": source}), nursery)


if __name__ == "__main__":
    sys.exit(main())
