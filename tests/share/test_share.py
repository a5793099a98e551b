"""What is shipped beside the program: units, package scripts, configuration, the manifest. The laboratory runs them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import pcifma
from pcifma.plugin.loader import builtin

SHARE = Path(pcifma.__file__).parent / "share"
PROGRAM = Path(sys.executable).with_name("pcifma")
UNITS = ("pcifma.service", "pcifma-snapshot.service")
DOCUMENT = (Path(__file__).parents[2] / "docs/install.md").read_text(encoding="utf-8")


def unit(name: str) -> list[str]:
    return [line for line in (SHARE / "systemd" / name).read_text().splitlines() if line and not line.startswith("#")]


def test_daemons_unit_says_what_operators_rely_on() -> None:
    lines = unit("pcifma.service")
    wanted = {
        "Type=notify", "StateDirectory=pcifma", "StateDirectoryMode=0750", "RuntimeDirectory=pcifma", "Restart=on-failure",
        "TimeoutStopSec=10", "ProtectKernelTunables=yes", "NoNewPrivileges=yes",
    }  # fmt: skip
    assert wanted <= set(lines)
    assert {"WatchdogSec", "MemoryMax"} <= {line.partition("=")[0] for line in lines}
    reloads = [line for line in lines if line.startswith("ExecReload=")]
    assert reloads == ["ExecReload=/opt/pcifma/bin/pcifma fmd --check", "ExecReload=/bin/kill -HUP $MAINPID"]


@pytest.mark.parametrize("name", UNITS)
def test_no_unit_has_what_would_blind_it(name: str) -> None:
    blinding = ("PrivateUsers", "PrivateDevices", "DevicePolicy", "ProtectProc", "ProcSubset", "User", "DynamicUser")
    assert [line for line in unit(name) if line.partition("=")[0] in blinding] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for name in UNITS:
        text = (SHARE / "systemd" / name).read_text().replace("/opt/pcifma/bin/pcifma", str(PROGRAM))
        (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert [line for line in done.stderr.splitlines() if "pcifma" in line] == []


def test_drop_ins_are_documented_and_change_the_units_own_settings() -> None:
    names = {path.name for path in (SHARE / "systemd/drop-in").iterdir()}
    assert set(re.findall(r"^\| `(\w+\.conf)` \|", DOCUMENT, re.MULTILINE)) == names
    own = {line.partition("=")[0] for line in unit("pcifma.service")}
    for name in names:
        settings = {line.partition("=")[0] for line in unit(f"drop-in/{name}") if "=" in line}
        assert settings <= own, name


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_package_scripts_are_shell(script: str) -> None:
    subprocess.run(["sh", "-n", SHARE / "debian" / script], check=True, timeout=60)


def check(root: Path, text: str) -> str:
    file = root / "etc/pcifma/pcifma.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    done = subprocess.run([PROGRAM, "fmd", "--check", "--root", root], capture_output=True, text=True, check=False, timeout=60)
    return done.stderr


def test_shipped_configuration_is_in_order_with_every_suggestion_taken(tmp_path: Path) -> None:
    text = (SHARE / "debian/pcifma.yaml").read_text()
    assert check(tmp_path, text) == ""
    taken = re.sub(r"(?m)^( *)#(?=\w)", r"\1", text)
    assert taken.count("exec:") == taken.count("prometheus:") == 1
    assert check(tmp_path, taken) == ""


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((SHARE / "kubernetes/pcifma.yaml").read_text()))


def test_manifest_is_whole_and_its_configuration_in_order(tmp_path: Path) -> None:
    by_kind = {document["kind"]: document for document in documents()}
    assert set(by_kind) == {"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet"}
    assert check(tmp_path, by_kind["ConfigMap"]["data"]["pcifma.yaml"]) == ""
    pod = by_kind["DaemonSet"]["spec"]["template"]["spec"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    mounts = [mount for container in (*pod["containers"], *pod["initContainers"]) for mount in container["volumeMounts"]]
    assert {mount["name"] for mount in mounts} == volumes
    assert [mount["mountPath"] for mount in mounts if f"| {mount['mountPath']} |" not in DOCUMENT] == []
    for part in ("privileged", "hostPID", "hostNetwork"):
        assert f"| `{part}` |" in DOCUMENT


def test_agents_are_off_by_default() -> None:
    manifests = {plugin.name: plugin.manifest for plugin in builtin(("exec", "prometheus", "syslog_msgs"))}
    assert not any(manifest.subscribe for manifest in manifests.values())
    assert not manifests["exec"].properties["program"].default
    assert (manifests["prometheus"].properties["listen"].default, manifests["prometheus"].properties["textfile"].default) == ("", "")
    assert manifests["syslog_msgs"].properties["to"].default == "off"
