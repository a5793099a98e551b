"""Shell completions, by click's own generator: each asks the program for what may follow, so they never grow old."""

from __future__ import annotations

from click.shell_completion import get_completion_class

from pcifma.cli.group import pcifma

# Where each shell looks, below a `share` directory.
PLACES = {
    "bash": "bash-completion/completions/pcifma",
    "zsh": "zsh/site-functions/_pcifma",
    "fish": "fish/vendor_completions.d/pcifma.fish",
}


def completions() -> dict[str, str]:
    """Every completion by its file below `share`."""
    found = {}
    for shell, place in PLACES.items():
        kind = get_completion_class(shell)
        assert kind is not None
        one = kind(pcifma, {}, "pcifma", "_PCIFMA_COMPLETE")
        # Not source(): that of bash runs the bash of whoever builds, to complain of its age.
        found[place] = one.source_template % one.source_vars()
    return found
