"""Every code that a case can carry has an article, and nothing else does."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from pcifma.cli.help import classes_of, command
from pcifma.errors import UsageError
from pcifma.event.code import message_code
from pcifma.plugin.data import load_data
from pcifma.plugin.loader import builtin_directory

DIAGNOSIS, MACHINE = builtin_directory() / "pcie_diagnosis", builtin_directory() / "mca_diagnosis"
CODES = load_data(DIAGNOSIS / "rules.yaml")["codes"] | load_data(MACHINE / "rules.yaml")["codes"]
EVERY = [(dictionary, int(number), classes) for dictionary, entries in CODES.items() for number, classes in entries.items()]


@pytest.mark.parametrize(("dictionary", "number", "classes"), EVERY)
def test_each_code_has_an_article(dictionary: str, number: int, classes: list[str]) -> None:
    code = message_code(dictionary, number)
    done = CliRunner().invoke(command, [code.lower()], catch_exceptions=False)
    assert done.output.splitlines()[0] == f"{code}  {' + '.join(classes)}"
    assert done.output.count("  Do ") == len(classes)


def test_each_fault_of_the_rules_has_an_article() -> None:
    rules, articles = load_data(DIAGNOSIS / "rules.yaml"), load_data(DIAGNOSIS / "articles.yaml")
    named = {fault["class"] for fault in rules["faults"]} | {suspect["class"] for suspect in rules["link"]["suspects"]}
    assert named <= articles.keys()
    assert all({"what", "impact", "action"} <= set(article) <= {"what", "impact", "action", "surer"} for article in articles.values())


def test_foreign_code_is_refused_with_a_hint() -> None:
    with pytest.raises(UsageError, match="is no code of this version"):
        classes_of("PCIEX-8000-ZZ", CODES)
