"""The rules file: what is built in passes, every mistake is named with its place, a site's file adds and replaces."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from support.diagnosis import CARD_A, CARD_B, DOWN_A, ROOT, judged, part, plugin, rules, seen, switch

from pcifma.access.document import load_yaml
from pcifma.errors import PcifmaError, PluginError

BUILT_IN = plugin().path / "rules.yaml"


@functools.cache
def _built_in() -> Any:
    return load_yaml(BUILT_IN.read_bytes(), str(BUILT_IN))  # as written, not as the build compiles it


def built_in() -> Any:
    return copy.deepcopy(_built_in())


def written(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
    return path


def changed(tmp_path: Path, **faults: dict[str, Any]) -> Path:
    data = built_in()
    for fault in data["faults"]:
        fault.update(faults.get(fault["id"].replace("-", "_"), {}))
    return written(tmp_path, data)


def complaint(path: Path, site: Path | None = None) -> str:
    with pytest.raises(PluginError) as caught:
        part("check").load(path, site)
    return str(caught.value)


def test_built_in_rules_are_without_a_mistake() -> None:
    assert list(part("check").check(rules())) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "link-down"}, "'link-down' stands twice"),
        ({"class": "ereport.x"}, "is no fault class"),
        ({"roles": ["gpu"]}, "no role is called 'gpu'"),
        ({"roles": []}, "never found"),
        ({"prior": 0}, "a prior above 0"),
        ({"priors": {"gpu": 5}}, "'gpu' is none of its roles"),
        ({"priors": {"root_port": 0}}, "priors are above 0"),
        ({"idle": 2}, "idle is above 0 and at most 1"),
        ({"serd": {"n": 1, "t_s": 0}}, "t_s above 0"),
        ({"symptoms": [{"class": "ereport.io.pciex.tl.mtlp", "at": "self", "p": 1.0}]}, "must lie between 0 and 1"),
        ({"symptoms": [{"class": "io.pciex.tl.mtlp", "at": "self", "p": 0.5}]}, "is no ereport class"),
        ({"symptoms": [{"class": "ereport.io.pciex.tl.mtpl", "at": "self", "p": 0.5}]}, "no ereport is called ereport.io.pciex.tl.mtpl"),
        ({"symptoms": [{"class": "ereport.io.pciex.rc.nfe-msg", "at": "self", "p": 0.5}]}, "never gets here"),
        ({"symptoms": [{"class": "ereport.io.pciex.pl.re", "at": "self", "p": 0.5}]}, "never gets here"),
        ({"roles": ["root_port"], "symptoms": [{"class": "ereport.io.pciex.tl.ur", "at": "above", "p": 0.5}]}, "nothing at 'above'"),
        ({"roles": ["endpoint"], "symptoms": [{"class": "ereport.io.pciex.tl.ur", "at": "below", "p": 0.5}]}, "nothing at 'below'"),
        ({"symptoms": [{"class": "ereport.io.pciex.tl.ur", "at": "beside", "p": 0.5}]}, "$.faults[0].symptoms[0].at"),
        ({"symptoms": [{"class": "ereport.io.pciex.tl.ur", "at": "anywhere", "p": 0.5}]}, "anywhere needs names"),
        ({"symptoms": [{"class": "ereport.io.pciex.tl.ur", "at": "self", "p": 0.5, "tag": "odd"}]}, "no tag is called 'odd'"),
        ({"colour": "red"}, "unknown field `colour`"),
    ],
)
def test_mistake_is_named_with_its_place(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    text = complaint(changed(tmp_path, internal=change))
    assert said in text and "rules.yaml: $" in text


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = complaint(changed(tmp_path, internal={"prior": -1}, link_down={"roles": ["gpu"]}, pci_device={"class": "x"}))
    assert all(said in text for said in ("$.faults[0].prior", "$.faults[4].roles", "is no fault class"))


def test_mistakes_of_shape_in_two_faults_are_both_named(tmp_path: Path) -> None:
    text = complaint(changed(tmp_path, internal={"prior": "much"}, link_down={"severity": "Awful"}))
    assert "$.faults[0].prior" in text and "$.faults[4].severity" in text


def test_faults_that_cannot_be_told_apart_are_named(tmp_path: Path) -> None:
    data = built_in()
    data["faults"].append({**copy.deepcopy(data["faults"][0]), "id": "again"})
    assert "shows the same as 'internal'" in complaint(written(tmp_path, data))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bit_error_rate": 0}, "between 0 and 1"),
        ({"windows_s": []}, "$.link.windows_s"),
        ({"suspects": []}, "$.link.suspects"),
        ({"receiver": ["ereport.io.pciex.dl.rto"]}, "both receiver and transmitter"),
    ],
)
def test_mistake_in_link_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    data = built_in()
    data["link"].update(change)
    assert said in complaint(written(tmp_path, data))


def test_class_without_a_code_and_a_set_with_two_are_named(tmp_path: Path) -> None:
    data = built_in()
    data["codes"]["PCIFMA"][90] = data["codes"]["PCIEX"].pop(0)
    data["codes"]["PCIFMA"][91] = ["fault.io.pciex.device-invreq"]
    data["codes"]["PCIFMA"].pop(90)
    text = complaint(written(tmp_path, data))
    assert "fault.io.pciex.device-interr has no code" in text and "$.codes.PCIFMA.91: the same set as $.codes.PCIEX.8" in text


def test_file_that_is_no_object_is_one_line(tmp_path: Path) -> None:
    assert "$: an object" in complaint(written(tmp_path, ["faults"]))


def own_fault(**changes: Any) -> dict[str, Any]:
    symptom = {"class": "ereport.site.thermal", "at": "self", "p": 0.9}
    plain = {"id": "hot", "class": "fault.io.pciex.device-interr", "roles": ["endpoint"], "prior": 10, "severity": "Minor"}
    return {**plain, "urgency": "never-mind", "symptoms": [symptom], **changes}


def test_site_adds_a_fault(tmp_path: Path) -> None:
    found = part("check").load(BUILT_IN, written(tmp_path, {"version": "7", "faults": [own_fault()]}))
    assert [fault.id for fault in found.faults][-1] == "hot"
    assert (len(found.faults), found.version) == (len(rules().faults) + 1, f"{rules().version}+7")


def test_site_replaces_a_fault_in_its_place(tmp_path: Path) -> None:
    found = part("check").load(BUILT_IN, written(tmp_path, {"faults": [own_fault(id="internal")]}))
    assert (found.faults[0].prior, len(found.faults)) == (10, len(rules().faults))


def test_site_changes_one_number_of_link_and_removal(tmp_path: Path) -> None:
    found = part("check").load(BUILT_IN, written(tmp_path, {"link": {"factor": 100}, "removal": {"within_s": 5}}))
    assert (found.link.factor, found.removal.within_s, found.link.least) == (100, 5, rules().link.least)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (["x"], "$: a mapping, with any of"),
        (None, "$: a mapping, with any of"),
        ({"fault": []}, "$: fault is no key of a site's rules"),
        ({"faults": {}}, "$.faults: a list of faults"),
        ({"faults": [{"class": "fault.x"}]}, "$.faults[0]: a mapping with an id"),
        ({"faults": [{"id": []}]}, "$.faults[0]: a mapping with an id"),
        ({"faults": [{"id": "x"}]}, "$.faults[0]: missing required field `class`"),
        ({"link": None}, "$.link: a mapping"),
        ({"removal": []}, "$.removal: a mapping"),
        ({"codes": {"PCIFMA": 5}}, "$.codes.PCIFMA: a mapping of numbers"),
        ({"codes": {"PCIFMA": {900: "fault.x"}}}, "$.codes.PCIFMA.900: a list of fault classes"),
        ({"codes": {"x": {1: ["fault.x"]}}}, "2 to 8 capital letters"),
        ({"codes": {"PCIFMA": {-1: ["fault.x"]}}}, "$.codes.PCIFMA.-1"),
        ({"explained": "ereport.x"}, "$.explained: a list of ereport classes"),
        ({"explained": ["nothing"]}, "$.explained: 'nothing' is no ereport class"),
        ({"echoes": ["ereport.io.pciex.nosuch"]}, "$.echoes: no ereport is called"),
        ({"removal": {"within_s": -1}}, "$.removal.within_s: -1"),
        ({"removal": {"guest": {"n": -1, "t_s": 0}}}, "$.removal.guest: n is 0 or more"),
        ({"removal": {"cause": ["ereport.io.pciex.dl.sdd"]}}, "$.removal.cause: no ereport is called"),
        ({"link": {"factor": "x"}}, "$.link.factor: a number belongs here, this is text"),
        ({"link": {"windows_s": [1e6]}}, "$.link.windows_s"),
        ({"version": {"a": 1}}, "$.version: text"),
        ({"without": "completion"}, "$.without: a list of ids"),
        ({"explained": ["ereport.io.pciex.tl.cto"]}, "built-in fault 'internal'.symptoms"),
    ],
)
def test_mistake_of_a_site_is_named_with_its_place_and_what_belongs_there(tmp_path: Path, data: Any, said: str) -> None:
    text = complaint(BUILT_IN, written(tmp_path, data))
    assert said in text and f"{tmp_path}/rules.yaml: " in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"severity": "Awful"}, "'Awful' is not one of 'Critical', 'Major', 'Minor'"),
        ({"colour": "red"}, "there are class, group, id, idle"),
        ({"symptoms": [{"class": "ereport.x", "at": "beside", "p": 0.5}]}, "'beside' is not one of 'self', 'device'"),
        ({"symptoms": [{"class": "ereport.x", "at": "self", "pp": 0.5}]}, "there are at, class, must, names, p, severity, tag"),
        ({"symptoms": [{5: 1}]}, "$.faults[0].symptoms[0]"),
        ({"prior": float("inf")}, "a prior above 0 (at most"),
        ({"serd": {"n": 1, "t_s": float("inf")}}, "at most 31622400"),
    ],
)
def test_mistake_of_shape_says_what_belongs_there(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    assert said in complaint(BUILT_IN, written(tmp_path, {"faults": [own_fault(**change)]}))


@pytest.mark.parametrize("number", [0, "0"])
def test_number_of_a_site_stands_in_place_of_the_same_built_in_number(tmp_path: Path, number: object) -> None:
    data = built_in()
    data["codes"]["PCIEX"] = {str(key) if isinstance(number, str) else key: value for key, value in data["codes"]["PCIEX"].items()}
    whole = part("site").merged(data, {"codes": {"PCIEX": {0: ["fault.io.pciex.device-noresp"]}}}, tmp_path)
    assert [value for key, value in whole.data["codes"]["PCIEX"].items() if str(key) == "0"] == [["fault.io.pciex.device-noresp"]]


def test_what_a_site_says_of_a_code_leaves_the_other_codes(tmp_path: Path) -> None:
    codes = {"PCIFMA": {900: ["fault.site.hot"]}}
    found = part("check").load(BUILT_IN, written(tmp_path, {"faults": [own_fault(**{"class": "fault.site.hot"})], "codes": codes}))
    assert found.code_of(frozenset({"fault.site.hot"})) == ("PCIFMA", 900)
    assert found.code_of(frozenset({"defect.pcifma.unexplained"})) == ("PCIFMA", 0)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield (*path, key)
        yield from places(data[key], (*path, key))


ODD: tuple[Any, ...] = (None, -1, 0, 2, 1e300, float("nan"), True, "", "x", "\x1b[31m", [], {}, ["x"], {"x": 1}, 10**30, "self")


@pytest.mark.parametrize("seed", range(25))
def test_rules_broken_anywhere_are_refused_in_words_or_judge_on(tmp_path: Path, seed: int) -> None:
    draw = Random(seed)
    data = built_in()
    *path, key = draw.choice(list(places(data)))
    at = functools.reduce(lambda inner, step: inner[step], path, data)
    if draw.random() < 0.3:
        del at[key]
    else:
        at[key] = draw.choice(ODD)
    file = written(tmp_path, data)
    try:
        found = part("check").load(file)
    except PcifmaError as err:
        assert str(file) in str(err) and "\x1b" not in str(err)
    else:
        judged(found, switch(), [seen("tl.cto", ROOT, target=CARD_A), seen("dl.sd", DOWN_A, severity="fatal"), seen("int.ue", CARD_B)])


def test_site_takes_a_group_and_a_fault_away(tmp_path: Path) -> None:
    found = part("check").load(BUILT_IN, written(tmp_path, {"without": ["completion", "payload-size"]}))
    ids = {fault.id for fault in found.faults}
    assert {"no-response", "dead", "payload-size"}.isdisjoint(ids) and "internal" in ids


def test_site_that_takes_away_what_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "no fault or group is called 'complection'" in complaint(BUILT_IN, written(tmp_path, {"without": ["complection"]}))
