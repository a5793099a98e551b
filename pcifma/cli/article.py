"""The knowledge articles: what each fault class means, what it does to services, what to do. Ships with the rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pcifma.plugin.data import load_data
from pcifma.plugin.loader import builtin_directory

DIAGNOSES = ("pcie_diagnosis", "mca_diagnosis")


@dataclass(frozen=True, slots=True)
class Article:
    """What a fault *class_* means; a glob, where it is that of many. *surer*: what tells whether it is this one, where something does."""

    class_: str
    what: str
    impact: str
    action: str
    surer: str = ""


def articles() -> dict[str, Article]:
    """Every article by fault class, or by a glob of classes."""
    found: dict[str, Article] = {}
    for place in DIAGNOSES:
        data: Mapping[str, Mapping[str, str]] = load_data(builtin_directory() / place / "articles.yaml")
        found |= {class_: Article(class_, **one) for class_, one in data.items()}
    return found


def dictionaries() -> dict[str, Mapping[Any, list[str]]]:
    """The fault classes of each message number, by dictionary."""
    found: dict[str, Mapping[Any, list[str]]] = {}
    for place in DIAGNOSES:
        found |= load_data(builtin_directory() / place / "rules.yaml")["codes"]
    return found


def about(classes: Iterable[str], known: Mapping[str, Article]) -> list[Article]:
    """The articles of *classes*, each once, in their order; a class without one (another module's) is left out."""
    return [article for class_ in dict.fromkeys(classes) if (article := _of(class_, known)) is not None]


def _of(class_: str, known: Mapping[str, Article]) -> Article | None:
    # The first glob that fits: the files have the special before the general.
    return known.get(class_) or next((article for glob, article in known.items() if "*" in glob and fnmatchcase(class_, glob)), None)
