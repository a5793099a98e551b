"""Buffers that may fail: what does not fit into them any more is counted and lives in memory only, until a restart."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pcifma.plugin import PluginError, Services

_NOTES = msgspec.json.Decoder(dict[str, int])
_encode = msgspec.json.encode


class Store:
    """The module's buffers."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def get(self, buffer: str) -> bytes | None:
        """What was put, None where nothing was or it was emptied."""
        return self._services.get(buffer) or None

    def put(self, buffer: str, data: bytes) -> None:
        """Keep *data*: a diagnosis without its notes is better than none."""
        try:
            self._services.put(buffer, data)
        except PluginError:
            self._services.count("not-kept")


class Notes:
    """A number for each Function, a buffer for each bus: there are more Functions than a module may have buffers."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._known: dict[str, dict[str, int]] = {}

    def learn(self, device: str, value: object) -> bool:
        """Remember *value* of *device*, if it is a number; True if that is news."""
        notes = self._of(device)
        if not isinstance(value, int) or notes.get(device) == value:
            return False
        notes[device] = value
        self._store.put(self._buffer(device), _encode(notes))
        return True

    def get(self, device: str) -> int | None:
        """What is known of *device*."""
        return self._of(device).get(device)

    def _buffer(self, device: str) -> str:
        return f"{self._name}:{device.rpartition(':')[0]}"

    def _of(self, device: str) -> dict[str, int]:
        buffer = self._buffer(device)
        if buffer not in self._known:
            kept = self._store.get(buffer)
            self._known[buffer] = dict(self._decoded(kept))
        return self._known[buffer]

    @staticmethod
    def _decoded(kept: bytes | None) -> Mapping[str, int]:
        return _NOTES.decode(kept) if kept else {}
