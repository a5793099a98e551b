"""A Header Log as payload: the raw words are in the snapshot, here stands what they mean."""

from __future__ import annotations

from collections.abc import Sequence

from pcifma.event.value import PayloadValue
from pcifma.plugin.watch import Target


def header_payload(words: Sequence[int | None], target: Target, *, flit: bool = False) -> dict[str, PayloadValue]:
    """The payload members of the header in *words*, logged at *target*; without a word, or of a header that is none, no source.

    Addresses are 16 hex digits. *flit*: it was logged in flit mode.
    """
    from pcifma.regs.tlp import decode_header  # noqa: PLC0415 - a machine without an error needs none of it

    known = [word for word in words if word is not None]
    tlp = decode_header(known, flit=flit, segment=target.bdf.segment) if known and len(known) == len(words) else None
    if tlp is None or tlp.kind == "none":
        return {"source-id": 0, "source-valid": False}
    source = tlp.requester.requester_id if tlp.requester is not None else 0
    found: dict[str, PayloadValue] = {"source-id": source, "source-valid": bool(source), "tlp": tlp.text, "tlp-type": tlp.name}
    for key, bdf in (("tlp-requester", tlp.requester), ("tlp-completer", tlp.completer), ("tlp-target", tlp.target)):
        if bdf is not None:
            found[key] = str(bdf)
    if tlp.address is not None:
        found["tlp-address"] = f"{tlp.address:016x}"
    if tlp.length_dw is not None:
        found["tlp-length-dw"] = tlp.length_dw
    return found
