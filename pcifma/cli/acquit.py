"""`pcifma acquit`."""

from pcifma.cli.mend import mending

command = mending("acquit", "acquitted", "A suspect is innocent.")
