"""Makers of hostile input that know what they damage: captures, registers within captures, case.yaml, tars, logs. For hunt.py."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from functools import cache
from pathlib import Path

from support.host_tree import images
from support.image import ENDPOINT, PCIE_TO_PCI, RCEC, UPSTREAM, Image

CORPUS = Path(__file__).parents[3] / "shared/corpus"
LOGS = Path(__file__).parents[1] / "access/data"
PREFIXES = ("", "> ", ">> ", "| ", "\t", "[   12.345678] ", "Nov 22 12:00:01 host kernel: ", "&gt; ", "12:00:01.5 ", "\ufeff", "\x1b[1m")
NOISE = (
    "",
    "Hello, my 01:00.0 is broken",
    "\tCapabilities: [40] Express (v2) Root Port (Slot+)",
    "\tBus: primary=00, secondary=01, subordinate=01, sec-latency=0",
    "00:1c.0",
    "0000:00:1c.0 ",
    "ffffffff:ff:1f.7 System peripheral: X",
    "10: 00",
    "fff: 00 11 22",
    "00: " + "00 " * 4000,
    ": " * 3000,
    "40:",
    "zz: 00 00",
    "86 80 20 34",
    "\x00\x01\x02",
    "pcieport 0000:00:1c.0: AER: Corrected error received: 0000:01:00.0",
)
KEYS = ("at", "remove", "add", "reset", "sleep", "wake", "answer", "store", "latch", "irq", "event", "on_read", "restart", "nope")
ADDRESSES = ("0000:00:1c.0", "0000:01:00.0", "01:00.0", "0000:ff:1f.7", "00:1c", "", 240.0, None, 0, True, "0000:01:20.0")
REGISTERS = ("ECAP_AER+4.l", "CAP_EXP+a.w", "STATUS", "0.b", "fff.b", "98.l", "ECAP_DPC+8.w", "aer.root_error_status", "?", "98.l@9", 7)
VALUES: tuple[object, ...] = (0, 1, -1, 0xFFFF, 1 << 32, 1 << 5000, 0.5, True, None, "1", "0x10", [], {}, "é", "\x07")
JUNK = ("[", "]", "{", "}", ":", "- ", "\n", '"', "*a", "&a ", "!!int ", "|", "1:" * 50, "\t", "?", "\x85")
WEAK_SPOTS = (0x06, 0x0E, 0x18, 0x34, 0x40, 0x41, 0x42, 0x100, 0x102, 0x180)
POINTERS = (0, 0xFF, 0x34, 0x40, 0x41, 0x100)
NAMES = ("case.yaml", "./x/case.yaml", "x/config.lspci", "host/proc/cmdline", "a" * 90, "d/" * 60 + "f")
TARGETS = ("", "case.yaml", "../../etc/passwd", "/etc", "x/config.lspci")
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
TIMES = ("0s", "1s", "500ms", "1.5s", "2min", "1h", "1e9s", "-1s", "0.0000000001s", 3, None, "999999999h", "")


def some_text(rng: random.Random) -> str:
    """One sound capture of some Functions."""
    found = [image.text(rng.choice((64, 256, 4096))) for image in (*images(), _other(rng))]
    return "\n".join(rng.sample(found, rng.randrange(1, 4)))


def real_text(rng: random.Random) -> str:
    """One sound capture of a real machine; only where the corpus is there."""
    plain = [path for path in sorted(CORPUS.glob("*/*.txt")) if not path.name.endswith(".lspci.txt") and path.parent.name != "logs"]
    return rng.choice([path for path in plain if path.stat().st_size < 60_000]).read_text(encoding="utf-8", errors="replace")


def _other(rng: random.Random) -> Image:
    address = f"{rng.choice(('', '0001:', '10000:'))}{rng.randrange(256):02x}:{rng.randrange(32):02x}.{rng.randrange(8)}"
    made = Image(address, "System peripheral: X").header(0x8086, rng.randrange(0x10000), 0x088000)
    return made.express(0x40, rng.choice((ENDPOINT, UPSTREAM, PCIE_TO_PCI, RCEC))).aer()


def hostile_capture(rng: random.Random) -> bytes:
    """A capture with its lines cut, moved, doubled, prefixed, recoded or with noise between."""
    return spoil_text(rng, some_text(rng))


def hostile_real_capture(rng: random.Random) -> bytes:
    """The same of a real machine; only where the corpus is there."""
    return spoil_text(rng, real_text(rng))


def spoil_text(rng: random.Random, text: str) -> bytes:
    """*text* of a capture with some of its lines damaged."""
    lines = text.splitlines()
    for _ in range(rng.randrange(1, 30)):
        at = rng.randrange(len(lines))
        match rng.randrange(9):
            case 0:
                lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
            case 1:
                lines.insert(at, rng.choice(NOISE))
            case 2:
                lines.insert(at, lines[rng.randrange(len(lines))])
            case 3:
                other = rng.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 4:
                lines[at] = rng.choice(PREFIXES) + lines[at]
            case 5:
                lines[at] = lines[at].replace(" ", rng.choice(("", "  ", "\t", "\xa0")), rng.randrange(1, 4))
            case 6:
                lines[at] += rng.choice((" ", " 0", " 00", "...", " …", " zz", "\x00", "00"))
            case 7:
                half = rng.randrange(len(lines[at]) + 1)
                lines[at : at + 1] = [lines[at][:half], lines[at][half:]]
            case _:
                del lines[at : at + rng.randrange(1, 20)]
                lines = lines or [""]
    prefix = rng.choice(PREFIXES) if rng.random() < 0.3 else ""
    text = rng.choice(("\n", "\r\n", "\r", "\n\n")).join(prefix + line for line in lines)
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "latin-1")), "replace")


def hostile_registers(rng: random.Random) -> bytes:
    """A capture whose registers lie: capability lists that loop, lead out or end early, all ones, zeros, anything."""
    board = [*images(), _other(rng)]
    for image in board:
        for _ in range(rng.randrange(8)):
            offset, width = rng.choice((*WEAK_SPOTS, rng.randrange(0xFFF))), rng.choice((1, 2))
            image.put(offset, rng.choice((*POINTERS, rng.randrange(0x10000))) & (1 << 8 * width) - 1, width)
        match rng.randrange(12):
            case 0:
                image.data[:] = rng.choice((b"\xff", b"\x00")) * 4096
            case 1:
                image.data[rng.randrange(4096) :] = b""
                image.data.extend(rng.choice((b"\xff", b"\x00")) * (4096 - len(image.data)))
            case 2:
                image.data[0x40:] = rng.randbytes(4096 - 0x40)
            case 3:
                image.data[:] = rng.randbytes(4096)
    return "\n".join(image.text(rng.choice((64, 128, 256, 272, 4096))) for image in board).encode()


def hostile_case(rng: random.Random) -> bytes:
    """A case.yaml whose values are of the wrong kind in places, or whose text is damaged."""
    case: dict[str, object] = {"about": rng.choice(("x", "", 3, None)), "steps": [_step(rng) for _ in range(rng.randrange(6))]}
    if rng.random() < 0.5:
        case["platform"] = {rng.choice(("hypervisor", "msi", "color")): rng.choice(VALUES) for _ in range(2)}
    if rng.random() < 0.2:
        case[rng.choice(("steps", "platform", "about", "more"))] = rng.choice(VALUES)
    text = _yaml(case)
    for _ in range(rng.randrange(4) if rng.random() < 0.5 else 0):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(JUNK) + text[at:]
    return text.encode("utf-8", "surrogatepass")


def _step(rng: random.Random) -> object:
    if rng.random() < 0.05:
        return rng.choice(VALUES)
    step = {key: _value(rng, key) for key in rng.sample(KEYS, rng.randrange(4))}
    return {"at": rng.choice(TIMES), **step} if rng.random() < 0.9 else step


def _value(rng: random.Random, key: str) -> object:
    if rng.random() < 0.1:
        return rng.choice(VALUES)
    changes = {rng.choice(ADDRESSES): {rng.choice(REGISTERS): rng.choice(VALUES) for _ in range(2)} for _ in range(2)}
    states = {rng.choice(ADDRESSES): rng.choice(("D3cold", "D9", "ones", "busy", 3))}
    kinds: dict[str, object] = {
        **dict.fromkeys(("store", "latch"), changes),
        **dict.fromkeys(("sleep", "answer"), states),
        "irq": {rng.choice(("24", "aerdrv", 24, None)): rng.choice(VALUES)},
        "event": {rng.choice(("uevent", "aer_event", "dmesg")): rng.choice(({"a": 1}, [{"a": "b"}, {}], [3], "x", {"a": {}}))},
        "on_read": {rng.choice(ADDRESSES): {rng.choice(REGISTERS): {rng.choice(("store", "latch", "x")): changes}}},
    }
    return kinds.get(key, [rng.choice(ADDRESSES) for _ in range(rng.randrange(3))])


def _yaml(value: object) -> str:
    # JSON is YAML; keys that JSON does not have are written as YAML would read them.
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(key)}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)
    return json.dumps(value)


def hostile_log(rng: random.Random) -> bytes:
    """A log of error reports, of one of the kinds that tests/access/data has, with bytes and pieces of it damaged, moved and doubled."""
    return spoil_log(rng, rng.choice(_logs()))


@cache
def _logs() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(LOGS.glob("*.log")))


def spoil_log(rng: random.Random, data: bytes) -> bytes:
    """*data* of a log with some of it damaged."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 40)):
        at = rng.randrange(len(changed))
        match rng.randrange(5):
            case 0:
                changed[at] = rng.randrange(256)
            case 1:
                del changed[at : at + rng.randrange(1, 30)]
            case 2:
                changed[at:at] = changed[at : at + rng.randrange(1, 60)]
            case 3:
                changed[at:at] = rng.choice((b"\n", b"\r", b"0x", b"ffffffff", b"99999999999999999999", b" (First)", b"-", b"[", b": "))
            case _:
                line = changed[changed.rfind(b"\n", 0, at) + 1 : changed.find(b"\n", at) + 1 or len(changed)]
                changed += line
        if not changed:
            break
    return bytes(changed)


def hostile_tar(rng: random.Random) -> bytes:
    """A tar of a fixture with names, links, sizes and headers damaged; headers keep a right checksum half the time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=rng.choice(FORMATS)) as archive:
        for _ in range(rng.randrange(6)):
            info = tarfile.TarInfo(rng.choice(NAMES))
            info.type = rng.choice((tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE))
            info.linkname = rng.choice(TARGETS)
            body = rng.choice((b"", b"about: x\n", images()[0].text(64).encode(), rng.randbytes(700)))
            info.size = len(body) if info.type == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(body))
    data = bytearray(out.getvalue())
    for _ in range(rng.randrange(6)):
        _damage(rng, data)
    packed = gzip.compress(bytes(data), 1) if rng.random() < 0.3 else bytes(data)
    return packed[: rng.randrange(len(packed) + 1)] if rng.random() < 0.1 else packed


def _damage(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(0, len(data), 512)
    field, width = rng.choice(((0, 100), (124, 12), (156, 1), (157, 100), (257, 6), (345, 155), (0, 512)))
    at = start + field + rng.randrange(width)
    junk = rng.choice((b"\xff", b"\x00", b"\x80", b"/", b"..", b"7", b"9", b"-", b"L", b"x", b"g", b"K", b"99 path=a\n", rng.randbytes(4)))
    data[at : at + len(junk)] = junk
    if rng.random() < 0.5 and start + 512 <= len(data):
        data[start + 148 : start + 156] = b"        "
        data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
