"""`python -I -m pcifma.fmd ORDER`: the daemon's process. ORDER is JSON, made by `pcifma fmd`: root, config, source."""

from __future__ import annotations

import sys

from pcifma.fmd.start import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
