"""The configuration is checked as a whole: every mistake, with file and path, before anything starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcifma.errors import ConfigError
from pcifma.fmd import config
from pcifma.fmd.path import Paths
from pcifma.fmd.setting import SETTINGS, default_of
from pcifma.plugin.manifest import Manifest, Property


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path)
    found.config_dir.mkdir(parents=True)
    return found


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    return path


def mistakes(paths: Paths, text: str) -> list[str]:
    """What is wrong with *text*, without the file's name."""
    file = write(paths.config, text)
    with pytest.raises(ConfigError) as err:
        config.read(paths)
    lines = str(err.value).splitlines()
    assert all(re.match(rf"{re.escape(str(file))}(: \$|:\d+: )", line) for line in lines)
    return [line.removeprefix(f"{file}").removeprefix(": ") for line in lines]


def test_defaults_need_no_file(tmp_path: Path) -> None:
    found = config.read(Paths(tmp_path))

    assert found.files == ()
    assert (found.number("poll.interval"), found.flag("clear"), found.text("user")) == (1.0, False, "pcifma")


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_default_is_of_its_type_and_within_its_bounds(name: str) -> None:
    value, setting = default_of(name), SETTINGS[name]

    if isinstance(value, int | float):
        assert setting.low is None or value >= setting.low
        assert setting.high is None or value <= setting.high
    assert setting.about


def test_settings_are_typed(paths: Paths) -> None:
    write(paths.config, 'poll: {interval: 250ms, exclude: ["0000:04:00.0", "10de:2330"]}\nchild: {memory: 1GiB}\nclear: true\n')

    found = config.read(paths)

    assert found.number("poll.interval") == 0.25
    assert found.texts("poll.exclude") == ["0000:04:00.0", "10de:2330"]
    assert found.number("child.memory") == 1 << 30
    assert found.flag("clear")
    assert found.is_set("clear")
    assert not found.is_set("user")


def test_conf_d_wins_over_the_file_in_the_order_of_its_names(paths: Paths) -> None:
    write(paths.config, "poll: {interval: 1s, deadline: 20ms}\n")
    write(paths.config_dir / "20-late.yaml", "poll: {interval: 3s}\n")
    write(paths.config_dir / "10-early.yaml", "poll: {interval: 2s}\n")
    write(paths.config_dir / "note.txt", "not: read\n")

    found = config.read(paths)

    assert (found.number("poll.interval"), found.number("poll.deadline")) == (3.0, 0.02)
    assert [path.name for path in found.files] == ["pcifma.yaml", "10-early.yaml", "20-late.yaml"]


def test_every_mistake_is_said_at_once_with_its_path(paths: Paths) -> None:
    text = """
colour: red
poll:
  intervall: 1s
  interval: 10
  deadline: 1h
  exclude: [0000:04:00.0]
clear: "yes"
user: 7
log: 12
child: {memory: lots}
modules: {pcie_aer: 3}
"""

    assert [line.split(" ")[0] for line in mistakes(paths, text)] == [
        "$.colour:",
        "$.poll.intervall:",
        "$.poll.interval:",
        "$.poll.deadline:",
        "$.poll.exclude:",
        "$.clear:",
        "$.user:",
        "$.log:",
        "$.child.memory:",
        "$.modules.pcie_aer:",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pol: {interval: 1s}", "did you mean poll?"),
        ("poll: {interval: 10}", "write a time with its unit"),
        ("poll: {interval: 1ms}", "0.05 s at least"),
        ("poll: {exclude: [0000:04:00.0]}", "put it in quotes"),
        ('poll: {exclude: ["everything"]}', "write an address"),
        ("child: {memory: 1}", "too little"),
        ("user: 7", 'put it in quotes, as "7"'),
        ("socket: {clients: 1.5}", "no whole number"),
        ("- a\n- b", "a mapping of settings is wanted"),
        ("poll: {interval: 1s, interval: 2s}", "is there twice"),
        ("a: &x [1]\nb: *x", "anchors and aliases are not taken"),
        ("poll: [", "not YAML"),
        ("a: " + "[" * 40 + "]" * 40, "nested deeper"),
        ("user: !!python/object/apply:os.system [id]", "tags are not taken"),
        ("? [a, b]\n: c", "not YAML"),
    ],
)
def test_mistake_says_what_and_the_remedy(paths: Paths, text: str, says: str) -> None:
    (line,) = mistakes(paths, text)

    assert says in line


def test_empty_file_is_no_mistake(paths: Paths) -> None:
    write(paths.config, "# nothing yet\n")

    assert config.read(paths).values == {}


def test_named_file_must_exist(paths: Paths) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: \$: cannot be read: No such file"):
        config.read(paths, paths.root / "nowhere.yaml")


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_file_that_others_may_write_is_refused(paths: Paths, mode: int) -> None:
    write(paths.config, "clear: true\n").chmod(mode)

    with pytest.raises(ConfigError, match="writable by group or others"):
        config.read(paths)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_file_of_another_user_is_refused(paths: Paths) -> None:
    os.chown(write(paths.config, "clear: true\n"), 12345, 12345)

    with pytest.raises(ConfigError, match="owned by uid 12345"):
        config.read(paths)


def test_file_that_is_a_pipe_or_too_large_is_refused(paths: Paths) -> None:
    os.mkfifo(paths.config_dir / "a.yaml")
    write(paths.config_dir / "b.yaml", "#" * (300 << 10))
    (paths.config_dir / "c.yaml").write_bytes(b"\xff\xff")

    with pytest.raises(ConfigError) as err:
        config.read(paths)

    assert "a.yaml: $: not a regular file" in str(err.value)
    assert "b.yaml: $: larger than 256 KiB" in str(err.value)
    assert "c.yaml:1: not YAML" in str(err.value)


@given(st.binary(max_size=200) | st.text(alphabet="{}[]:,&*!|>'\"%@- \nab01?#", max_size=80).map(str.encode))
def test_fuzz_any_bytes_give_values_or_mistakes(data: bytes) -> None:
    found: list[str] = []

    value = config.parse(Path("f"), data, found)

    assert value is None or not found
    assert all(re.match(r"f:\d+: ", line) for line in found)


MANIFEST = Manifest(
    name="link",
    version="1",
    api=1,
    kind="module",
    properties={
        "wait": Property(type="time", default="10s"),
        "limit": Property(type="size", default="1MiB"),
        "names": Property(type="list", default=[]),
    },
)


def test_properties_of_a_plugin_are_typed_with_defaults(paths: Paths) -> None:
    write(paths.config, "modules: {link: {wait: 2m}}\n")

    assert config.properties(config.read(paths), MANIFEST) == ({"wait": 120.0, "limit": 1 << 20, "names": []}, [])


def test_properties_that_a_plugin_does_not_have_are_mistakes(paths: Paths) -> None:
    file = write(paths.config, "modules: {link: {waits: 2m, limit: big}, lnk: {a: 1}, gone: {}}\n")

    assert config.check_modules(config.read(paths), {"link": MANIFEST}) == [
        f"{file}: $.modules.lnk: no such plugin: did you mean link?",
        f"{file}: $.modules.gone: no such plugin: there is link",
        f"{file}: $.modules.link.waits: no such property: did you mean wait?",
        f"{file}: $.modules.link.limit: 'big' is no size: write a size as 64MiB (k, M, G or T are powers of 1024; a bare number is bytes)",
    ]


def test_no_yaml_is_loaded_where_there_is_no_file(tmp_path: Path) -> None:
    code = "import sys; from pcifma.fmd import config; from pcifma.fmd.path import Paths; from pathlib import Path; "
    code += f"config.read(Paths(Path({str(tmp_path)!r}))); sys.exit('yaml' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
