"""Writing back in a recording: by the keeper's own rules, on the bytes of its Functions. Nothing of it reaches hardware."""

from __future__ import annotations

from pcifma.access.seam import ConfigSpace, Machine
from pcifma.errors import PcifmaError, WriteRefusedError
from pcifma.fmd.keeper.ack import AckError, Registers, acknowledge
from pcifma.fmd.keeper.client import key_of
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location


class RecordedWriter:
    """Acknowledges in *machine*, a fixture that plays."""

    def __init__(self, machine: Machine) -> None:
        self._configs = machine.configs

    def acknowledge(self, bdf: Bdf, location: Location, bits: int) -> tuple[int, int]:
        """As KeeperClient.acknowledge."""
        config = self._configs.get(bdf)
        if config is None:
            raise WriteRefusedError(f"{bdf} {location}: the Function is gone")
        try:
            return acknowledge(_Space(config), key_of(location), bits)
        except AckError as err:
            raise WriteRefusedError(f"{bdf} {location}: {err}") from err


class _Space(Registers):
    def __init__(self, config: ConfigSpace) -> None:
        self._config = config

    def read(self, offset: int, width: int) -> int:
        try:
            return int.from_bytes(self._config.read(offset, width), "little")
        except PcifmaError as err:
            raise AckError(f"read at {offset:#x}: {err}") from err

    def write(self, offset: int, width: int, value: int) -> None:
        write = getattr(self._config, "write", None)
        if write is None:
            raise AckError("a recording that takes no writes")
        try:
            write(offset, value.to_bytes(width, "little"))
        except PcifmaError as err:
            raise AckError(f"write at {offset:#x}: {err}") from err
