"""A host made by hand: facts and links by path, and a machine of hand-made Functions around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from support.image import Image, capture

from pcifma.access.clock import SimulatedClock
from pcifma.access.open import open_capture
from pcifma.access.seam import Kind, Machine, Record


@dataclass
class FactHost:
    """*facts* by path; *links* by path; *reasons* why a path cannot be read (default: absent)."""

    facts: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """The fact, or None."""
        return self.facts.get(path)

    def entries(self, path: str) -> tuple[str, ...]:
        """Names directly below *path*."""
        under = path.rstrip("/") + "/"
        return tuple(sorted({p[len(under) :].partition("/")[0] for p in (*self.facts, *self.links) if p.startswith(under)}))

    def link(self, path: str) -> str | None:
        """The link's text, or None."""
        return self.links.get(path)

    def why(self, path: str) -> str:
        """Why *read* gives None."""
        return self.reasons.get(path, "absent")

    def stream(self, name: str) -> Iterator[Record]:
        """No records."""
        return iter(())


def machine_of(*images: Image, host: FactHost | None = None, kind: Kind = "capture", platform: Mapping[str, str] | None = None) -> Machine:
    """A machine with these Functions and host facts."""
    plain = open_capture(capture(*images).encode(), "test.lspci")
    return plain.but(host=host or plain.host, kind=kind, platform=platform or {}, clock=SimulatedClock())
