"""The `pcifma` command: finds the verb's file."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import NoReturn

from pcifma.cli.edge import exit_with, run_and_exit

# One row a verb: its file below pcifma/cli, and what `pcifma --help` says of it. A verb is imported only when it is used.
VERBS: dict[str, str] = {
    "sweep": "One look: what is latched now.",
    "record": "Make a fixture of this machine.",
    "coverage": "For each Function: who would hear an error, and why not.",
    "topology": "The fabric as a tree, health marked.",
    "replay": "A recording through the whole path.",
    "decode": "Explain a register's value, or the error reports of a log.",
    "plugins": "What is loaded or loadable, and each one's check.",
    "fmd": "The daemon, in the foreground.",
    "faulty": "What is broken, where, how sure that is, and what to do.",
    "check": "One line and an exit status, for scripts and Nagios.",
    "repaired": "A part was repaired.",
    "replaced": "A part was replaced.",
    "acquit": "A suspect is innocent.",
    "bundle": "A case for a vendor, as a tar.",
    "clear": "Clear the logged status bits of a case or a Function, once.",
    "writes": "Every register ever written: before, after, why, for whom.",
    "reset": "Begin a module anew.",
    "rotate": "Move what of a log is done with into a file beside it.",
    "maintain": "Planned work: log its errors, and make no case of them.",
    "drill": "Try whether a fault would reach whom it should.",
    "explain": "The chain from a fault to each of its ereports.",
    "help": "The knowledge article of a message code, offline.",
    "simulate": "Random machines, random faults, scored diagnoses.",
    "dump": "The fault log, or the error log, as fmdump.",
    "stat": "What each module has done, as fmstat.",
    "status": "How the daemon is doing.",
    "config": "The daemon's plugins.",
    "load": "Load a plugin into the daemon.",
    "unload": "Unload a plugin from the daemon.",
    "trace": "Which hypercalls Xen's control tools make (the xpv provider).",
}



def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 nothing found, 1 found, 2 trouble, 3 could not look everywhere, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    # click, with what it imports, takes as long as a sweep of two hundred Functions.
    if words[:1] == ["sweep"]:
        gc.disable()  # one look, one process: what is imported and made stays until it ends
        from pcifma.cli.glance import glance, plain  # noqa: PLC0415 - see VERBS

        request = plain(words[1:])
        if request is not None:
            exit_with(lambda: glance(request), "pcifma")
    from pcifma.cli.group import pcifma  # noqa: PLC0415

    run_and_exit(pcifma, "pcifma", words)
