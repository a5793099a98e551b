"""Fixtures as SOURCE: a directory, or the tar of one. Imported only where there is one, since a sweep of a host needs no YAML."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from pcifma.access.archive import read_archive, unpack
from pcifma.access.content import FORMS, boot_of, read_file
from pcifma.access.fixture import CASE, CONFIG, EXPECT, HOST, Fixture, make_fixture, parts_of_files
from pcifma.access.host import TreeHost
from pcifma.errors import SourceError

_TAR_ENDS = re.compile(r"\.(tar|tgz|tar\.gz)$")


def open_fixture(path: Path) -> Fixture:
    """The fixture in the directory *path*, or in the tar of one. SourceError, FormatError."""
    if not path.is_dir():
        return open_archive(unpack(read_file(path), str(path)), str(path), path.name)
    files = {name: read_file(path / name) for name in (CASE, CONFIG, EXPECT) if (path / name).is_file()}
    parts = parts_of_files(files, {}, f"{path}/", path.resolve().name)
    return make_fixture(replace(parts, host=TreeHost(path / HOST, recorded=True)), boot_of(parts.case + parts.config))


def open_archive(data: bytes, file: str, name: str) -> Fixture:
    """The fixture in the tar *data*, read from *file*. SourceError, FormatError."""
    archive = read_archive(data, file)
    case = min((path for path in archive.files if path.rpartition("/")[2] == CASE), key=lambda path: path.count("/"), default=None)
    if case is None:
        raise SourceError(f"{file}: there is no {CASE} in this tar: {FORMS}")
    root = case.removesuffix(CASE)
    files = {path.removeprefix(root): data for path, data in archive.files.items() if path.startswith(root)}
    links = {path.removeprefix(root): text for path, text in archive.links.items() if path.startswith(root)}
    parts = parts_of_files(files, links, f"{file}:{root}", root.rstrip("/").rpartition("/")[2] or _TAR_ENDS.sub("", name))
    return make_fixture(parts, boot_of(parts.case + parts.config))
