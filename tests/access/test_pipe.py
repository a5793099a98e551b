"""Input by name: files, pipes with and without a writer, directories."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from pcifma.access.pipe import open_input

LONG = bytes(range(256)) * 2000


def test_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(LONG)
    with open_input(str(tmp_path / "a")) as file:
        assert (file.seekable(), file.read()) == (True, LONG)


def test_pipe_that_somebody_writes_to_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    keep = os.open(tmp_path / "pipe", os.O_RDWR)  # so that neither side waits for the other

    def write() -> None:
        with (tmp_path / "pipe").open("wb") as out:
            os.close(keep)
            out.write(LONG)

    writer = Thread(target=write)
    with open_input(str(tmp_path / "pipe")) as file:
        writer.start()
        assert file.read() == LONG
    writer.join()


def test_pipe_that_has_data_already_loses_none_of_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    keep = os.open(tmp_path / "pipe", os.O_RDWR)
    os.write(keep, b"0123456789")
    with open_input(str(tmp_path / "pipe")) as file:
        os.close(keep)
        assert (file.read(3), file.read()) == (b"012", b"3456789")


def test_pipe_without_a_writer_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe that nobody writes to"):
        open_input(str(tmp_path / "pipe"))


def test_directory_is_no_input(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_input(str(tmp_path))
