"""docs/events.md lists every class: those of the register tables are generated, the others written by hand."""

from __future__ import annotations

import re
from pathlib import Path

from support.events import BEGIN, END, ILLUMOS, PAYLOAD, SEVERITY, generated, is_shadow

from pcifma.regs.catalogue import BY_KEY, CAPABILITIES

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "docs" / "events.md"
CLASS = re.compile(r"""["'](ereport\.[a-z0-9-]+(?:\.[a-z0-9-]+)+)["']""")


def test_the_generated_part_is_current(update_expected: bool) -> None:
    before, _, rest = EVENTS.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    current = before + generated() + after
    if update_expected:
        EVENTS.write_text(current)
    assert EVENTS.read_text() == current, "docs/events.md is old: run pytest tests/regs/test_events.py --update-expected and read the diff"


def test_every_class_of_the_tables_is_listed_once_a_register() -> None:
    text = EVENTS.read_text()
    for capability in CAPABILITIES:
        for register in capability.registers:
            for name in {f.ereport for f in register.fields if f.ereport and not is_shadow(register)}:
                assert f"| `ereport.{name}` |" in text


def test_every_class_written_in_the_code_is_listed() -> None:
    text = EVENTS.read_text()
    for path in [*(ROOT / "pcifma").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]:
        for name in CLASS.findall(path.read_text()):
            assert f"`{name}`" in text, f"{path.relative_to(ROOT)} makes {name}: describe it in docs/events.md, behind the generated part"


def test_illumos_leaves_are_all_used() -> None:
    used = {f.ereport for c in CAPABILITIES for r in c.registers for f in r.fields}
    assert used >= ILLUMOS


def test_payloads_and_severities_are_told_of_registers_that_exist() -> None:
    for key in (*PAYLOAD, *SEVERITY):
        table, _, register = key.partition(".")
        assert any(f.ereport for f in BY_KEY[table][register].fields)
