"""Build hook: built-in plugins go into the wheel as pcifma/builtin, their YAML compiled to JSON beside it, their manifests once more in
one index.json; man pages, shell completions and the journal's catalog are made from the program itself.

The sweep path parses no YAML; in a checkout, where nothing was compiled, the loader reads the YAML itself.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BuiltinPlugins(BuildHookInterface):
    """Collects plugins/<name> below pcifma/builtin, with each `x.yaml` also as `x.json`."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return  # the loader finds plugins/ beside the package
        source = Path(self.root) / "plugins"
        self.stage = Path(tempfile.mkdtemp(prefix="pcifma-builtin-"))
        self.share = Path(tempfile.mkdtemp(prefix="pcifma-share-"))
        build_data["shared_data"].update(self._documents())
        for path in sorted(p for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            target = self.stage / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            if path.suffix == ".yaml":
                data = yaml.safe_load(path.read_text(encoding="utf-8"))
                target.with_suffix(".json").write_text(json.dumps(data, sort_keys=True), encoding="utf-8")
        manifests = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.stage.glob("*/plugin.json"))]
        (self.stage / "index.json").write_text(json.dumps(manifests, sort_keys=True), encoding="utf-8")
        for path in sorted(p for p in self.stage.rglob("*") if p.is_file()):
            build_data["force_include"][str(path)] = f"pcifma/builtin/{path.relative_to(self.stage)}"

    def _documents(self) -> dict[str, str]:
        # The program is imported from the source tree: what it needs stands among the build's requirements.
        sys.path.insert(0, str(self.root))
        try:
            from pcifma.cli.catalog import catalog  # noqa: PLC0415
            from pcifma.cli.completion import completions  # noqa: PLC0415
            from pcifma.cli.manual import pages  # noqa: PLC0415
        finally:
            sys.path.remove(str(self.root))
        manual = {f"man/man{name[-1]}/{name}": text for name, text in pages().items()}
        found = {}
        for place, text in {**manual, **completions(), "pcifma/journal/pcifma.catalog": catalog()}.items():
            path = self.share / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            found[str(path)] = f"share/{place}"
        return found

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        for directory in ("stage", "share"):
            shutil.rmtree(getattr(self, directory, ""), ignore_errors=True)
