"""slots.yaml: what a site calls its slots, by product; it goes before every other source.

slots:
  - product: PowerEdge R740*        # a glob over the product's name in DMI (/sys/class/dmi/id/product_name)
    ports:
      "0000:3a:00.0": Riser 2, slot 3     # the port above the slot, or the card in it
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from pcifma.access.seam import Host
from pcifma.errors import ConfigError, FormatError
from pcifma.regs.bdf import Bdf

SITE = "/etc/pcifma/slots.yaml"
PRODUCT = "/sys/class/dmi/id/product_name"
_LABEL_LIMIT = 64
_SIZE_LIMIT = 256 << 10

Rows = list[tuple[str, dict[Bdf, str]]]


def site_labels(host: Host) -> dict[Bdf, str]:
    """The site's labels for this product, by address; ConfigError with every mistake in the file."""
    data = host.read(SITE)
    if data is None:
        return {}
    product = (host.read(PRODUCT) or b"").decode(errors="replace").strip()
    found: dict[Bdf, str] = {}
    for glob, ports in parse(data, SITE):
        if fnmatchcase(product, glob):
            found |= ports
    return found


def parse(data: bytes, file: str) -> Rows:
    """The rows of a slots.yaml: product globs, and labels by address. ConfigError with every mistake, a line each."""
    from pcifma.access.document import load_yaml  # noqa: PLC0415 - where a site names no slots, nobody needs YAML

    if len(data) > _SIZE_LIMIT:
        raise ConfigError(f"{file}: $: larger than {_SIZE_LIMIT >> 10} KiB")
    try:
        document = load_yaml(data, file)
    except FormatError as err:
        raise ConfigError(str(err)) from None
    mistakes: list[str] = []
    found = _rows(document, file, mistakes)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return found


def _rows(document: object, file: str, mistakes: list[str]) -> Rows:
    rows = document.get("slots") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(rows, list):
        mistakes.append(f"{file}: $.slots: a list of products is wanted, each with product and ports")
        return []
    mistakes += [f"{file}: $.{key}: no such key: there is slots" for key in document if key != "slots"]
    return [_row(row, f"{file}: $.slots[{n}]", mistakes) for n, row in enumerate(rows)]


def _row(row: object, where: str, mistakes: list[str]) -> tuple[str, dict[Bdf, str]]:
    if not isinstance(row, dict):
        mistakes.append(f"{where}: product and ports are wanted")
        return "", {}
    mistakes += [f"{where}.{key}: no such key: there is product, ports" for key in row if key not in ("product", "ports")]
    product, ports = row.get("product"), row.get("ports")
    if not isinstance(product, str) or not product:
        mistakes.append(f"{where}.product: the product's name in DMI, or a glob over it")
    if not isinstance(ports, dict) or not ports:
        mistakes.append(f'{where}.ports: labels by address are wanted, as {{"0000:3a:00.0": Riser 2, slot 3}}')
        return "", {}
    return str(product), _ports(ports, f"{where}.ports", mistakes)


def _ports(ports: dict[object, object], where: str, mistakes: list[str]) -> dict[Bdf, str]:
    found: dict[Bdf, str] = {}
    for key, label in ports.items():
        try:
            bdf = Bdf.parse(key) if isinstance(key, str) else None
        except ValueError:
            bdf = None
        if bdf is None:
            mistakes.append(f'{where}.{key}: no address: write it in quotes, as "0000:3a:00.0"')
        if not isinstance(label, str) or not label.strip() or len(label) > _LABEL_LIMIT or not label.isprintable():
            mistakes.append(f"{where}.{key}: a label of 1 to {_LABEL_LIMIT} printable characters is wanted, in quotes if it is a number")
        elif label in found.values():
            mistakes.append(f"{where}.{key}: {label!r} names two slots")
        elif bdf is not None:
            found[bdf] = label
    return found
