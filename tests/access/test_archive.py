from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable

import pytest

from pcifma.access.archive import MEMBER_LIMIT, SIZE_LIMIT, is_archive, read_archive, unpack
from pcifma.errors import FormatError

LONG = "host/" + "deep/" * 40 + "name"


def tar(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["a", "./a/b", LONG, "host/ä/€", "x" * 100, "p/" * 60 + "q"])
def test_archive_has_the_files_of_every_format(format: int, name: str) -> None:
    data = tar((member(name), b"one" * 500), (member("last"), b""), format=format)

    found = read_archive(data, "a.tar")

    assert is_archive(data)
    assert found.files == {name.removeprefix("./"): b"one" * 500, "last": b""}


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archive_has_links_whose_targets_may_be_long(format: int) -> None:
    members = [(member("l", tarfile.SYMTYPE, f"../{LONG}"), b""), (member("f"), b"x"), (member("h", tarfile.LNKTYPE, "f"), b"")]

    found = read_archive(tar(*members, format=format), "a.tar")

    assert found.links == {"l": f"../{LONG}"}
    assert found.files == {"f": b"x", "h": b"x"}


def test_archive_passes_over_directories_and_devices() -> None:
    data = tar((member("d", tarfile.DIRTYPE), b""), (member("n", tarfile.CHRTYPE), b""), (member("p", tarfile.FIFOTYPE), b""))

    assert read_archive(data, "a.tar").files == {}


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a/.."])
def test_archive_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match=r"a\.tar: '.*' leads out of the archive"):
        read_archive(tar((member(name), b"")), "a.tar")


@pytest.mark.parametrize("target", ["nothing", "/etc/passwd", "../x"])
def test_archive_hard_link_to_what_is_not_in_it_is_refused(target: str) -> None:
    with pytest.raises(FormatError, match=r"a\.tar: .*(not in the archive before it|leads out)"):
        read_archive(tar((member("h", tarfile.LNKTYPE, target), b"")), "a.tar")


def test_archive_cut_short_is_refused() -> None:
    with pytest.raises(FormatError, match=r"a\.tar: cut short: the member at byte 0 has 188 of its 5000 bytes: copy it again"):
        read_archive(tar((member("a"), b"x" * 5000))[:700], "a.tar")


@pytest.mark.parametrize("at", [0, 50, 110, 130, 156, 257])
def test_archive_with_a_damaged_header_is_refused(at: int) -> None:
    data = bytearray(tar((member("a"), b"x")))
    data[at] ^= 0x55

    with pytest.raises(FormatError, match=r"a\.tar: the tar is damaged at byte 0"):
        read_archive(bytes(data), "a.tar")


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"99999999999\0", b"-0000000001\0", b"77777777777\0"])
def test_archive_with_an_impossible_size_is_refused(size: bytes) -> None:
    data = bytearray(tar((member("a"), b"x")))
    data[124:136] = size
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * 32 + sum(data[156:512]))

    with pytest.raises(FormatError, match=r"a\.tar: the size of the member at byte 0 is no such number"):
        read_archive(bytes(data), "a.tar")


@pytest.mark.parametrize("record", [b"0 path=x\n", b"99 path=x\n", b"path\n", b"\xff" * 30, b"1 ", b"-5 path=x\n"])
def test_archive_with_a_damaged_pax_header_is_refused(record: bytes) -> None:
    with pytest.raises(FormatError, match=r"a\.tar: a pax header is damaged"):
        read_archive(tar((member("p", b"x"), record), (member("a"), b"")), "a.tar")


def test_archive_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = gzip.compress(bytes(SIZE_LIMIT + 1), 9)

    with pytest.raises(FormatError, match=r"a\.tgz: unpacks to more than 128 MiB"):
        unpack(bomb, "a.tgz")


@pytest.mark.parametrize("data", [b"\x1f\x8b", b"\x1f\x8bgarbage", gzip.compress(b"x" * 999)[:-9]])
def test_archive_of_broken_gzip_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"a\.tgz: (not a whole gzip file|the gzip file is cut short)"):
        unpack(data, "a.tgz")


def test_archive_with_too_many_members_is_refused() -> None:
    header = tar((member("a"), b""))[:512]

    with pytest.raises(FormatError, match=rf"a\.tar: more than {MEMBER_LIMIT} files in it"):
        read_archive(header * (MEMBER_LIMIT + 1), "a.tar")


def test_unpack_leaves_other_data_alone() -> None:
    assert unpack(b"text", "a") == b"text"
    assert unpack(gzip.compress(b"text"), "a") == b"text"


@pytest.mark.parametrize(("pack", "name"), [(lzma.compress, "xz"), (bz2.compress, "bzip2")])
def test_archive_may_be_packed_otherwise(pack: Callable[[bytes], bytes], name: str) -> None:
    packed = pack(b"x" * 9999)
    assert unpack(packed, "a") == b"x" * 9999
    with pytest.raises(FormatError, match=f"the {name} file is cut short"):
        unpack(packed[:-9], "a")
    with pytest.raises(FormatError, match=f"not a whole {name} file"):
        unpack(packed[:6] + b"garbage" * 99, "a")
    with pytest.raises(FormatError, match="unpacks to more than"):
        unpack(pack(bytes(SIZE_LIMIT + 1)), "a")
