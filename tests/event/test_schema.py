"""The shipped JSON Schema says what the types say."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from pcifma.cli.topology import Node, TopologySummary
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport, SweepSummary
from pcifma.event.line import decode, encode
from pcifma.event.written import ClearLeft, ClearRefused, ClearSummary, WriteLine, WritesSummary
from pcifma.platform.coverage import Coverage, CoverageSummary

WRITTEN = (WriteLine, WritesSummary, ClearRefused, ClearLeft, ClearSummary)
CONTRACTS = (Ereport, ListEvent, SweepSummary, Coverage, CoverageSummary, Node, TopologySummary, *WRITTEN)


def schema_of_types() -> dict[str, Any]:
    shapes, definitions = msgspec.json.schema_components(CONTRACTS, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "One line of pcifma's --json output, version 1",
        "anyOf": list(shapes),
        "$defs": definitions,
    }


def shipped_schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((files("pcifma.event") / "schema.json").read_text())
    return schema


def ereport(**changes: object) -> Ereport:
    plain = Ereport(
        class_="ereport.io.pciex.dl.btlp", uuid="u", host="h", boot="b", seq=1, tick=0, time="t", not_before=None, first_look=True,
        residue=False, ena="0" * 16, device="0000:04:00.0", detector={"scheme": "dev"}, resource="hc:///", fabric="f",
        severity="correctable", plugin="pcie_aer", sources=["poll"], trust="host", payload={"bit": 6},
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def test_schema_matches_types(update_expected: bool) -> None:
    if update_expected:
        path = Path(__file__).parents[2] / "pcifma/event/schema.json"
        path.write_text(json.dumps(schema_of_types(), indent=1, sort_keys=True) + "\n")
    assert shipped_schema() == schema_of_types()


def test_schema_accepts_an_ereport_and_refuses_a_changed_type() -> None:
    line = json.loads(encode(ereport()))
    jsonschema.validate(line, shipped_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**line, "tick": "0"}, shipped_schema())


def test_line_survives_a_round_trip_and_unknown_keys() -> None:
    event = ereport(first="2000-01-01T00:00:00.000000000Z")
    line = json.loads(encode(event))
    assert decode(json.dumps({**line, "key_of_a_later_version": 1})) == event
