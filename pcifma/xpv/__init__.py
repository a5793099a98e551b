"""The xpv provider: which hypercalls the control tools make."""
