"""`python -I -m pcifma.fmd ORDER`: the daemon's process. ORDER is JSON, made by `pcifma fmd`: root, config, source.

The nursery is forked before anything else is loaded or open.
"""

from __future__ import annotations

import sys

from pcifma.fmd.child.nursery import Nursery, Run


def load(everything: bool) -> Run:
    """What a plugin's process does; with *everything*, what it loads later is loaded now."""
    from pcifma.fmd.child.main import run  # noqa: PLC0415 - in the nursery, when it is needed

    if everything:
        import hashlib  # noqa: F401, PLC0415 - a fabric's id

        import yaml  # noqa: F401, PLC0415 - plugin.yaml

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
