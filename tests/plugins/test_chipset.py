"""The chipset tables: the right shape, the same written and compiled, mistakes named, and the document lists them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import chipset as support


def rows() -> Iterator[Any]:
    for chipset in support.chipsets():
        for part in chipset.parts:
            yield from (*part.registers, *part.counters)


def test_every_file_is_read() -> None:
    assert {c.name for c in support.chipsets()} == {path.stem for path in support.WRITTEN.glob("*.yaml")}


def test_names_that_end_in_classes_are_words() -> None:
    word = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
    for row in rows():
        leaves = [row.leaf] if hasattr(row, "hi") else [bit.leaf for bit in row.bits.values()]
        assert all(word.fullmatch(leaf) for leaf in (row.family, *leaves)), f"{row.chipset}: {row.name}: {leaves}"


def test_titles_and_sources_are_there() -> None:
    for chipset in support.chipsets():
        assert chipset.title
        assert chipset.source
        assert chipset.parts
    for row in rows():
        titles = [] if hasattr(row, "hi") else [bit.title for bit in row.bits.values()]
        assert all((row.name, row.title, *titles))


def test_no_function_is_claimed_by_two_files() -> None:
    claimed: dict[tuple[int, int, int | None], str] = {}
    for chipset in support.chipsets():
        for part in chipset.parts:
            for device in range(part.first, part.last + 1):
                other = claimed.setdefault((part.vendor, device, part.devfn), chipset.name)
                assert other == chipset.name, f"{part.vendor:04x}:{device:04x} is in {other} and {chipset.name}"


def test_no_register_is_declared_twice_for_a_function() -> None:
    for chipset in support.chipsets():
        for part in chipset.parts:
            found = [(r.location, 0) for r in part.registers] + [(c.location, c.lo) for c in part.counters]
            assert len(found) == len(set(found)), f"{chipset.name}: {found}"


def test_registers_of_a_function_do_not_overlap() -> None:
    for chipset in support.chipsets():
        for part in chipset.parts:
            spans = sorted({(r.location.offset, r.location.width) for r in (*part.registers, *part.counters)})
            assert all(a + width <= b for (a, width), (b, _) in pairwise(spans)), f"{chipset.name}: {spans}"


def test_first_and_next_pairs_have_the_same_table() -> None:
    for chipset in support.chipsets():
        for part in chipset.parts:
            named = {r.name: r for r in part.registers if r.order}
            for name, register in named.items():
                if register.order == "next":
                    first = named[name.replace("NERR", "FERR")]
                    assert (first.order, first.bits, first.ignore) == ("first", register.bits, register.ignore)


def test_no_bit_is_written_twice_in_a_table() -> None:
    for path in support.WRITTEN.glob("*.yaml"):
        table = ""
        seen: set[str] = set()
        for line in path.read_text().splitlines():
            table = found[1] if (found := re.match(r"  ([a-z0-9-]+):$", line)) else table
            if found := re.match(r"    (\d+): \{", line):
                key = f"{table}.{found[1]}"
                assert key not in seen, f"{path.name}: {key} twice"
                seen.add(key)
        assert len(seen) == sum(len(bits) for bits in yaml.safe_load(path.read_text()).get("bits", {}).values())


def test_every_table_of_a_file_is_used() -> None:
    for path in support.WRITTEN.glob("*.yaml"):
        text = yaml.safe_load(path.read_text())
        used = {register["bits"] for function in text["functions"] for register in function.get("registers", [])}
        assert used == set(text.get("bits", {})), path.name


def test_compiled_form_says_the_same(tmp_path: Path) -> None:
    read = support.table().read
    for path in support.WRITTEN.glob("*.yaml"):
        compiled = tmp_path / f"{path.stem}.json"
        compiled.write_text(json.dumps(yaml.safe_load(path.read_text()), sort_keys=True))
        assert read(compiled) == read(path)


def test_compiled_file_goes_before_the_written_one(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml", "b.json"):
        (tmp_path / name).write_text("")
    assert [path.name for path in support.index().files(tmp_path)] == ["a.yaml", "b.json"]


REGISTER = {"at": "40.l", "name": "R", "title": "Register", "bits": "t"}
FUNCTION = {"ids": ["8086:1234"], "about": "a Function", "registers": [REGISTER]}
SOUND = {"title": "T", "family": "f", "source": "s", "bits": {"t": {0: {"title": "B", "leaf": "b"}}}, "functions": [FUNCTION]}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"family": 1}, "$.family"),
        ({"colour": "red"}, "colour"),
        ({"bits": {"t": {32: {"title": "B", "leaf": "b"}}}}, "$.functions[0]: R: bits [32]"),
        ({"bits": {"t": {"low": {"title": "B", "leaf": "b"}}}}, "$.bits"),
        ({"bits": {}}, "no table 't'"),
        ({"functions": [FUNCTION | {"ids": ["8086:12"]}]}, "ids: '8086:12'"),
        ({"functions": [FUNCTION | {"at": "40.8"}]}, "at: '40.8'"),
        ({"functions": [FUNCTION | {"registers": [REGISTER | {"at": "ECAP_AER+4.l"}]}]}, "'ECAP_AER+4.l' is no offset"),
        ({"functions": [FUNCTION | {"registers": [REGISTER | {"at": "forty"}]}]}, "'forty' is no register name"),
        ({"functions": [FUNCTION | {"registers": [REGISTER | {"ignore": 1}]}]}, "are ignored"),
        ({"functions": [FUNCTION | {"registers": [REGISTER | {"proven": "surely"}]}]}, "$.functions[0].registers[0].proven"),
        (
            {"functions": [FUNCTION | {"counters": [REGISTER | {"field": [40, 0], "leaf": "c", "severity": "info"}]}]},
            "$.functions[0].counters[0]",
        ),
    ],
)
def test_mistake_in_a_file_names_file_and_place(tmp_path: Path, change: dict[str, object], place: str) -> None:
    read = support.table().read
    sound, wrong = tmp_path / "sound.yaml", tmp_path / "wrong.yaml"
    sound.write_text(yaml.safe_dump(SOUND))
    wrong.write_text(yaml.safe_dump(SOUND | change))
    assert read(sound).name == "sound"
    with pytest.raises(ValueError, match=r"wrong\.yaml: ") as error:
        read(wrong)
    assert place in str(error.value)


def test_file_that_is_no_yaml_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("title: [")
    with pytest.raises(ValueError, match=r"x\.yaml: not YAML"):
        support.table().read(tmp_path / "x.yaml")


def test_document_lists_every_register(*, update_expected: bool) -> None:
    path = support.ROOT / "docs" / "chipsets.md"
    text = path.read_text()
    head, _, rest = text.partition(support.MARK)
    mark = support.MARK + rest.partition("\n")[0]
    current = f"{head}{mark}\n{support.document()}\n\n{support.END}{rest.partition(support.END)[2]}"
    if update_expected:
        path.write_text(current)
    assert path.read_text() == current, "docs/chipsets.md is old: run pytest tests/plugins/test_chipset.py --update-expected"


def test_example_of_the_document_is_a_sound_table(tmp_path: Path) -> None:
    text = (support.ROOT / "docs" / "chipsets.md").read_text()
    (tmp_path / "example.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0])
    found = support.table().read(tmp_path / "example.yaml")
    assert [(hex(p.first), hex(p.last), p.devfn, len(p.registers), len(p.counters)) for p in found.parts] == [
        ("0x9000", "0x9003", 1, 2, 1),
        ("0x9010", "0x9010", 1, 2, 1),
    ]
