"""Sweeps of every real capture (and of 640 mutated Functions), bit by bit against an independent reader of the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.dump import CORPUS, needs_corpus, read_dump
from support.latched import expected

from pcifma.access.open import open_source
from pcifma.event.value import FABRIC_CLASS
from pcifma.fabric.build import build
from pcifma.plugin.loader import builtin
from pcifma.poll.poller import Poller

CAPTURES = sorted(p for p in CORPUS.glob("*/*.txt") if not p.name.endswith(".lspci.txt") and p.parent.name != "logs")


@needs_corpus
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
def test_every_latched_bit_is_said_once_under_its_name(path: Path) -> None:
    machine = open_source(str(path))
    look = Poller(machine, build(machine), builtin(("pcie_aer", "pci_status"))).look()
    said = [(e.device, e.class_) for e in look.ereports if e.class_ != FABRIC_CLASS and not e.class_.startswith("ereport.pcifma.")]
    wanted = [(f.bdf, name) for f in read_dump(path) for name in expected(f.data)]
    assert sorted(said) == sorted(wanted)
