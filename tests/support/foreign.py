"""Third-party plugins for a daemon on a root of its own."""

from __future__ import annotations

from pathlib import Path

IMPORTS = "import os, signal, sys, time\nfrom pcifma.plugin import *\n"
SOURCE = """
def watches(fabric, host):
    for f in fabric:
        yield Watch(Target.function(f.bdf), Location.parse("CAP_EXP+a.w"), tier="fast")
def normalise(now, before):
    BODY
"""
MODULE = """
class M:
    def __init__(self, services): self.services = services
    def recv(self, event):
        BODY
    def timeout(self, timer, data): pass
    def close(self): pass
    def stats(self): return {}
    def topo(self, fabric): pass
def open(services): return M(services)
"""


def plugin(root: Path, name: str, body: str, *, kind: str = "source", subscribe: str = "[]", properties: str = "{}") -> Path:
    """A third-party plugin below the root's plugin directory; *body* is its normalise or recv."""
    path = root / "etc/pcifma/plugins" / name
    path.mkdir(parents=True)
    manifest = f"{{name: {name}, version: '1', api: 1, kind: {kind}, subscribe: {subscribe}, properties: {properties}}}"
    (path / "plugin.yaml").write_text(manifest)
    (path / "plugin.py").write_text(IMPORTS + (SOURCE if kind == "source" else MODULE).replace("BODY", body))
    for each in (path, *path.iterdir(), *(p for p in path.parents if root in p.parents)):
        each.chmod(0o755 if each.is_dir() else 0o644)
    return path
