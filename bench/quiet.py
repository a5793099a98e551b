"""How often would good links come to a case? An upper bound, computed and not drawn, for each speed and width.

    python bench/quiet.py [HOURS [LINKS]]          (default: 10000 hours of 256 links)

A link that errs at the specification's rate has errored looks like a binomial variable. For each window of the rules this finds the
fewest errored looks that open a case, asks the module itself, and adds up the chance of that many, for every look of every link.
"""

from __future__ import annotations

import importlib
import math
import sys
from typing import Any

from pcifma.plugin.loader import builtin

SLACK_S = {7200: 300, 86400: 1800}  # the longest windows go by buckets of 5 and 30 minutes, the others by whole minutes


def tail(n: int, p: float, k: int) -> float:
    """Natural logarithm of an upper bound of P(X >= k), X binomial(n, p) (Chernoff); 0 where k is not above the mean."""
    share = k / n
    if share <= p:
        return 0.0
    rest = (1 - share) * math.log((1 - share) / (1 - p)) if share < 1 else 0.0
    return -n * (share * math.log(share / p) + rest)


def fewest(rate: Any, allowed: float, window_s: float, least: int) -> int | None:
    """The fewest errored looks in a window that open a case; None if no number does."""
    low, high = least, int(window_s)
    if rate.rate_at_least(high, 0, window_s, 1.0) <= allowed:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if rate.rate_at_least(middle, 0, window_s, 1.0) > allowed else (middle + 1, high)
    return low


def bound(rate: Any, link: Any, bits: float, looks: float) -> float:
    """log10 of an upper bound of the expected number of false cases in so many looks."""
    p = -math.expm1(-link.bit_error_rate * bits)
    total = -math.inf
    for window_s in link.windows_s:
        k = fewest(rate, link.bit_error_rate * bits * link.factor, window_s, link.least)
        if k is not None:
            n = int(window_s) + SLACK_S.get(int(window_s), 0) + 60
            total = max(total, tail(n, p, k))
    return (total + math.log(looks * len(link.windows_s))) / math.log(10)


def flit_bound(rate: Any, link: Any, bits: float, looks: float) -> float:
    """The same of a link with flits, whose counter is exact: the tail of a Poisson variable (Chernoff)."""
    mean_s, total = bits / link.flit.bits * link.flit.error_rate, -math.inf
    for window_s in link.windows_s:
        low, high = link.least, int(mean_s * window_s * link.factor * 2) + 100
        while low < high:
            middle = (low + high) // 2
            fires = rate.rate_at_least(0, middle, window_s, 1.0) > mean_s * link.factor
            low, high = (low, middle) if fires else (middle + 1, high)
        mean = mean_s * (window_s + SLACK_S.get(int(window_s), 0) + 60)
        total = max(total, low - mean - low * math.log(low / mean) if low > mean else 0.0)
    return (total + math.log(looks * len(link.windows_s))) / math.log(10)


def main(hours: float, links: float) -> None:
    """Print the table."""
    plugin = builtin(["pcie_diagnosis"])[0]
    rate = importlib.import_module(f"{plugin.code.__name__}.rate")
    link = importlib.import_module(f"{plugin.code.__name__}.check").load(plugin.path / "rules.yaml").link
    print(f"false cases expected in {hours:.0f} h x {links:.0f} links, at most (log10)")
    for code, transfers in sorted(rate.GIGATRANSFERS.items()):
        of = flit_bound if rate.is_flit(code) else bound
        row = " ".join(f"x{width}: {of(rate, link, transfers * width, hours * 3600 * links):8.1f}" for width in (1, 2, 4, 8, 16))
        print(f"{transfers / 1e9:6.1f} GT/s (speed {code})  {row}")


if __name__ == "__main__":
    main(*(float(word) for word in (sys.argv[1:] + ["10000", "256"][len(sys.argv) - 1 :])))
