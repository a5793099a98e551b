"""The knowledge articles: what each fault class means, what it does to services, what to do. Ships with the rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pcifma.plugin.data import load_data
from pcifma.plugin.loader import builtin_directory

_DIAGNOSIS = "pcie_diagnosis"


@dataclass(frozen=True, slots=True)
class Article:
    """What a fault *class_* means."""

    class_: str
    what: str
    impact: str
    action: str


def articles() -> dict[str, Article]:
    """Every article by fault class."""
    data: Mapping[str, Mapping[str, str]] = load_data(builtin_directory() / _DIAGNOSIS / "articles.yaml")
    return {class_: Article(class_, one["what"], one["impact"], one["action"]) for class_, one in data.items()}


def about(classes: Iterable[str], known: Mapping[str, Article]) -> list[Article]:
    """The articles of *classes*, each once, in their order; a class without one (another module's) is left out."""
    return [known[class_] for class_ in dict.fromkeys(classes) if class_ in known]
