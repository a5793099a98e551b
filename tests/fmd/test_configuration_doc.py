"""docs/configuration.md says every setting as the table in pcifma/fmd/setting.py has it, and its example is a configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pcifma.fmd import config
from pcifma.fmd.path import Paths
from pcifma.fmd.reload import LATER
from pcifma.fmd.setting import SETTINGS, Setting

PAGE = Path(__file__).parents[2] / "docs/configuration.md"
TABLE = re.compile(r"(<!-- settings: [^\n]* -->\n).*?(<!-- end -->)", re.S)
HEAD = "| setting | type | default | bounds | what it is | example |\n|---|---|---|---|---|---|\n"
# Where the default would say nothing of the form.
EXAMPLES = {
    "clear": "true",
    "retire": "[cpu, page]",
    "poll.exclude": '["0000:41:00.0", "10de:2330"]',
    "plugins.directories": "[/opt/pcifma/plugins]",
    "plugins.disable": "[pcie_link]",
}


def row(name: str, setting: Setting) -> str:
    default = str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default)
    written = "`[]`" if setting.default == () else f"`{default}`"
    unit = {"time": " s", "size": " bytes"}.get(setting.type, "")
    low, high = ("" if bound is None else f"{bound:g}" if bound < 10**6 else f"{bound:.0f}" for bound in (setting.low, setting.high))
    bounds = f"{low or '…'} to {high or '…'}{unit}" if low or high else ""
    return f"| `{name}` | {setting.type} | {written} | {bounds} | {setting.about} | `{example(name)}` |\n"


def example(name: str) -> str:
    default = SETTINGS[name].default
    value = EXAMPLES.get(name, str(default).lower() if isinstance(default, bool) else str(default))
    section, dot, key = name.partition(".")
    return f"{section}: {{{key}: {value}}}" if dot else f"{name}: {value}"


def table() -> str:
    return HEAD + "".join(row(name, setting) for name, setting in SETTINGS.items())


def test_every_setting_stands_in_the_page(update_expected: bool) -> None:
    text = PAGE.read_text(encoding="utf-8")
    wanted = TABLE.sub(lambda match: match[1] + table() + match[2], text)
    if update_expected:
        PAGE.write_text(wanted, encoding="utf-8")
    assert text == wanted or update_expected, "write it again with pytest --update-expected"


def test_example_is_a_configuration_without_a_mistake(tmp_path: Path) -> None:
    example = re.search(r"\n\n((?:    [^\n]+\n)+)", PAGE.read_text(encoding="utf-8"))
    assert example is not None
    mistakes: list[str] = []
    content = config.parse(tmp_path / "x.yaml", example[1].replace("{…}", "{}").encode(), mistakes)
    assert mistakes == []
    assert isinstance(content, dict)
    assert set(content) <= {name.partition(".")[0] for name in SETTINGS} | {"modules"}


@pytest.mark.parametrize("name", SETTINGS)
def test_example_of_each_setting_is_taken(tmp_path: Path, name: str) -> None:
    file = tmp_path / "pcifma.yaml"
    file.write_text(example(name) + "\n")
    assert config.read(Paths(tmp_path), file).is_set(name)


def test_what_waits_for_a_restart_is_named_in_the_page() -> None:
    line = next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if "after a restart; named" in line)
    assert set(re.findall(r"`([\w.]+)`", line)) == LATER
