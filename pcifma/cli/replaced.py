"""`pcifma replaced`."""

from pcifma.cli.mend import mending

command = mending("replaced", "replaced", "A part was replaced by another.")
