"""`pcifma repaired`."""

from pcifma.cli.mend import mending

command = mending("repaired", "repaired", "A part was repaired: its case is over once all its suspects are.")
