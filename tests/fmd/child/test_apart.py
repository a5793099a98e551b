"""A third-party plugin has a user of its own: it gets at nothing of the daemon's, and the daemon still ends it, whatever it does."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from support.account import other
from support.daemon import Daemon, configure, daemon
from support.foreign import plugin
from support.sysfs import Sysfs

from pcifma.errors import ConfigError, DaemonError
from pcifma.event.ereport import Ereport
from pcifma.fmd import privilege

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: plugins are given a user of their own")

# Each attack is an expression; what comes of it goes into the payload of one ereport.
ATTACKS = {
    "log_read": "open(STATE + '/log.db', 'rb').read(16)",
    "log_write": "open(STATE + '/log.db', 'r+b').write(b'x')",
    "log_list": "os.listdir(STATE)",
    "log_wal": "open(STATE + '/log.db-wal', 'rb').read(16)",
    "log_replace": "os.rename(STATE, STATE + '.old')",
    "socket": "socket.socket(socket.AF_UNIX).connect(RUN + '/fmd.sock')",
    "socket_replace": "os.unlink(RUN + '/fmd.sock')",
    "consent": "open(RUN + '/consent', 'w').write('x')",
    "lock": "open(RUN + '/lock', 'r+')",
    "daemon_memory": "open(f'/proc/{DAEMON}/mem', 'rb')",
    "daemon_files": "os.listdir(f'/proc/{DAEMON}/fd')",
    "daemon_environment": "open(f'/proc/{DAEMON}/environ').read()",
    "daemon_signal": "os.kill(DAEMON, 0)",
    "keeper_files": "os.open(f'/proc/{KEEPER}/fd/0', os.O_RDWR)",
    "keeper_list": "os.listdir(f'/proc/{KEEPER}/fd')",
    "keeper_signal": "os.kill(KEEPER, 0)",
    "keeper_pidfd": "steal(KEEPER)",
    "nursery_signal": "os.kill(NURSERY, 0)",
    "nursery_files": "os.listdir(f'/proc/{NURSERY}/fd')",
    "nursery_pidfd": "steal(NURSERY)",
    "root": "os.setresuid(0, 0, 0)",
    "daemon_user": "os.setresuid(OWNER, OWNER, OWNER)",
    "daemon_group": "os.setgroups([GROUP])",
    "priority": "os.nice(-15)",
    "limit": "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))",
    "memory": "resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))",
    "set_uid_program": "[1][os.waitpid(os.posix_spawn('/bin/su', ['su', '-c', 'true'], {}), 0)[1]]",
}
CODE = """
import ctypes, resource, socket
STATE, RUN = {state!r}, {run!r}
DAEMON, OWNER, GROUP = os.getppid(), {owner}, {group}
KEEPER, NURSERY = {keeper}, {nursery}
def steal(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(434, pid, 0)
    got = libc.syscall(438, fd, 3, 0) if fd >= 0 else -1
    if got < 0:
        raise OSError(ctypes.get_errno(), 'refused')
ATTACKS = {attacks!r}
def attempt(what):
    try:
        return 'DONE ' + repr(eval(what))[:50]
    except BaseException as err:
        return type(err).__name__
"""
BODY = """said = {name: attempt(what) for name, what in ATTACKS.items()}
    status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
    said |= {f'own_{name}': status[name].strip() for name in ('Uid', 'Gid', 'Groups', 'CapEff', 'CapPrm', 'NoNewPrivs')}
    return [Finding('ereport.attack', Evidence(now.target, Location.parse('CAP_EXP+a.w'), 3), 'info', said)]"""


def processes(pid: int) -> list[str]:
    """The children of *pid*."""
    return [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def attacked(running: Daemon) -> dict[str, str]:
    """What came of each attack."""
    running.until(lambda: running.plugins()["hostile"]["why"] or "ereport.attack" in running.classes(), "the attacks")
    events = [logged.event for logged in running.log().events(0, 1000)]
    assert running.plugins()["hostile"]["why"] == ""
    event = next(e for e in events if isinstance(e, Ereport) and e.class_ == "ereport.attack")
    return {name: str(value) for name, value in event.payload.items()}


@needs_root
def test_plugin_gets_at_nothing_of_the_daemon_keeper_or_nursery(root: Path, tree: Sysfs) -> None:
    account = pwd.getpwnam(other())
    configure(root, f"child: {{user: {account.pw_name}, deadline: 20s}}\n")
    with daemon(root, "--source", str(tree.root)) as running:
        state, owner = running.paths.state, running.paths.state.stat()
        nursery, keeper = sorted(int(pid) for pid in processes(running.process.pid))
        code = CODE.format(
            state=str(state), run=str(running.paths.runtime), owner=owner.st_uid, group=owner.st_gid, attacks=ATTACKS,
            keeper=keeper, nursery=nursery,
        )  # fmt: skip
        path = plugin(root, "hostile", BODY)
        (path / "plugin.py").write_text((path / "plugin.py").read_text().replace("\ndef watches", f"{code}\ndef watches"))
        running.ask("load", name="hostile")
        said = attacked(running)
        children = running.status()["children"]
        assert running.plugins()["hostile"]["status"] == "active"
        assert running.stop() == 0

    assert {name: what for name, what in said.items() if what.startswith("DONE")} == {}
    assert said["own_Uid"].split() == [str(account.pw_uid)] * 4
    assert said["own_Gid"].split() == [str(account.pw_gid)] * 4
    assert (said["own_Groups"], int(said["own_CapEff"], 16), int(said["own_CapPrm"], 16), said["own_NoNewPrivs"]) == ("", 0, 0, "1")
    assert children == {"running": 1, "uid": account.pw_uid, "apart": True, "note": ""}


ASKING = """
def open(services):
    said = {}
    for path in PATHS:
        try: said[path[-40:]] = repr(services.host.read(path))[:60]
        except Exception as err: said[path[-40:]] = type(err).__name__
    services.post(Finding('ereport.asked', Evidence(HOST, 'x', 0), 'info', said))
    return M(services)
"""


@needs_root
def test_plugin_cannot_have_the_daemon_read_its_own_files(root: Path) -> None:
    configure(root, f"child: {{user: {other()}, deadline: 20s}}\n")
    path = plugin(root, "asking", "pass", kind="module")
    own = ("var/lib/pcifma/log.db", "etc/pcifma/pcifma.yaml", "run/pcifma/fmd.lock")
    wanted = [*(f"{root}/{name}" for name in own), "/proc/self/environ", *(f"/proc/self/fd/{n}" for n in range(3, 30)), "/proc/cmdline"]
    code = (path / "plugin.py").read_text().partition("def open")[0]
    (path / "plugin.py").write_text(f"{code}PATHS = {wanted!r}\n{ASKING}")
    with daemon(root) as running:
        running.until(lambda: "ereport.asked" in running.classes(), "the answers")
        events = [logged.event for logged in running.log().events(0, 10_000)]
    event = next(e for e in events if isinstance(e, Ereport) and e.class_ == "ereport.asked")
    assert [name for name, what in event.payload.items() if name.startswith("/") and what != "None"] == ["/proc/cmdline"]


@needs_root
def test_plugin_that_its_user_cannot_read_is_refused_with_the_remedy(root: Path, tree: Sysfs) -> None:
    configure(root, f"child: {{user: {other()}}}\n")
    with daemon(root, "--source", str(tree.root)) as running:
        path = plugin(root, "closed", "return ()")
        os.chown(path, 0, running.paths.state.stat().st_gid)
        path.chmod(0o750)
        with pytest.raises(DaemonError, match=f"not readable for uid {pwd.getpwnam(other()).pw_uid}, .*: chmod -R o[+]rX {path}"):
            running.ask("load", name="closed")


@needs_root
@pytest.mark.parametrize(("user", "reason"), [("root", "is root"), ("nobody-at-all", "there is no user nobody-at-all")])
def test_user_that_would_keep_nothing_apart_is_refused(user: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        privilege.plugins_identity(user, privilege.Identity(12345, 12345), chosen=True)


@needs_root
def test_daemons_own_user_and_group_are_refused_for_plugins() -> None:
    account = pwd.getpwnam(other())
    for who in (privilege.Identity(account.pw_uid, 12345), privilege.Identity(12345, account.pw_gid)):
        with pytest.raises(ConfigError, match=r"\$\.child\.user: .* daemon's"):
            privilege.plugins_identity(account.pw_name, who, chosen=True)


@needs_root
def test_default_user_that_is_not_there_is_replaced_and_that_is_noted() -> None:
    nobody = pwd.getpwnam("nobody")
    beside = privilege.plugins_identity("no-such-plugin-user", privilege.Identity(12345, 12345), chosen=False)
    nameless = privilege.plugins_identity("no-such-plugin-user", privilege.Identity(nobody.pw_uid, nobody.pw_gid), chosen=False)

    assert beside.uid == nobody.pw_uid
    assert nameless.uid not in {entry.pw_uid for entry in pwd.getpwall()}
    for who in (beside, nameless):
        assert "useradd --system --user-group no-such-plugin-user" in who.note


@needs_root
def test_system_that_has_no_user_to_spare_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr(privilege, "reachable", lambda directory, who, how: False)  # as in a container with few numbers
    shared = privilege.plugins_identity("no-such-plugin-user", privilege.Identity(nobody.pw_uid, nobody.pw_gid), chosen=False)

    assert shared.uid == nobody.pw_uid
    assert "plugins share the daemon's" in shared.note


@needs_root
def test_plugin_has_the_common_modules_whatever_its_user_can_reach(root: Path, tree: Sysfs) -> None:
    configure(root, f"child: {{user: {other()}}}\n")
    usual, odd = (plugin(root, name, "return ()") / "plugin.py" for name in ("usual", "odd"))
    usual.write_text("import datetime, json, logging, re, subprocess, threading\n" + usual.read_text())
    odd.write_text("import colorsys\n" + odd.read_text())
    with daemon(root, "--source", str(tree.root)) as running:
        rows = running.plugins()

    assert rows["usual"]["status"] == "active"
    account = pwd.getpwnam(other())
    if not privilege.reachable(Path(os.__file__).parent, privilege.Identity(account.pw_uid, account.pw_gid), os.R_OK | os.X_OK):
        assert f"is closed to uid {account.pw_uid}" in rows["odd"]["why"]
