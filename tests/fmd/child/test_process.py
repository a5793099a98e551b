"""Third-party plugins in their own process: the same API as built in, and every misbehaviour ends the process and nothing else."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pcifma.access.host import NoHost
from pcifma.errors import PluginError
from pcifma.event.case import Suspect
from pcifma.event.ereport import Ereport
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.child import main as child_main
from pcifma.fmd.child import process
from pcifma.fmd.child.nursery import Nursery
from pcifma.fmd.child.offspring import OFFSPRING
from pcifma.fmd.child.plugin import ChildPlugin
from pcifma.fmd.child.process import LOOK, Limits
from pcifma.platform.coverage import Coverage, Heard
from pcifma.plugin import Evidence, Finding, Location, Looks, Response, Snapshot, Status, Target, Watch
from pcifma.plugin.loader import read_manifest

DEADLINE_S = 1.0
CARD = Target("function", "0000:04:00.0")
REGISTER = Location.parse("ECAP_AER+4.l")
FACTS = {"/proc/x": b"\x00y", "/proc/none": None}
NOW = Snapshot(CARD, 3, 5_000_000_000, {(CARD, REGISTER): 1 << 18}, FACTS, {REGISTER: 1.5}, frozenset({REGISTER}))
FABRIC = Fabric("f1", {})
STATUS = Status(version="2", looks=Looks(slow={"0000:04:00.0": 3}))
COVERAGE = Coverage(
    device="0000:04:00.0", type="endpoint", hypervisor="none", role="host", owner="none", served_by=None, msi=None, sees="each", why=[],
    plan=["poll"], heard=Heard(correctable=True, nonfatal=False, fatal=None),
)  # fmt: skip


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery.fork(lambda everything: child_main.run)
    yield nursery
    nursery.close()


@pytest.fixture
def start(tmp_path: Path, nursery: Nursery) -> Iterator[Callable[..., ChildPlugin]]:
    started: list[ChildPlugin] = []
    LOOK.tick = -1  # each test begins a look of its own

    def make(code: str, *, kind: str = "source", memory: int = 256 << 20) -> ChildPlugin:
        # The limit counts what the child was forked with: here that is the whole test run, in the daemon a slim nursery.
        memory += int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        (tmp_path / "plugin.yaml").write_text(f"{{name: other, version: '1', api: 1, kind: {kind}}}")
        (tmp_path / "plugin.py").write_text("import os, signal, socket, sys, time\nfrom pcifma.plugin import *\n" + code)
        plugin = ChildPlugin.start(read_manifest(tmp_path), (tmp_path, "directory"), nursery, Limits(memory, DEADLINE_S))
        started.append(plugin)
        return plugin

    yield make
    for plugin in started:
        plugin.child.close()


SOURCE = """
def watches(fabric, host):
    facts = (fabric.id, host.why("/proc/cmdline"))
    yield Watch(Target("function", "0000:04:00.0"), Location.parse("ECAP_AER+4.l"), tier="fast", facts=facts)

def normalise(now, before):
    where = Location.parse("ECAP_AER+4.l")
    payload = {"word": now.word(where), "torn": where in now.torn, "first": before is None}
    yield Finding("ereport.x.y", Evidence(now.target, where, 18), "fatal", payload)
"""


def test_source_answers_as_if_it_were_built_in(start: Callable[..., ChildPlugin]) -> None:
    source = start(SOURCE).source

    assert list(source.watches(FABRIC, NoHost())) == [Watch(CARD, REGISTER, tier="fast", facts=("f1", "not recorded"))]
    assert list(source.normalise(NOW, None)) == [
        Finding("ereport.x.y", Evidence(CARD, REGISTER, 18), "fatal", {"word": 1 << 18, "torn": True, "first": True})
    ]
    assert next(iter(source.normalise(NOW, NOW))).payload["first"] is False


def normalise(body: str) -> str:
    one = "ONE = lambda *a: Finding('ereport.x', Evidence(HOST, 'x', 0), *(a or ('info',)))"
    return f"{one}\ndef watches(fabric, host):\n    return ()\n\ndef normalise(now, before):\n    {body}\n"


MISBEHAVIOUR = {
    "raises": ("raise ValueError('no\\nidea')", "ValueError: no"),
    "leaves": ("sys.exit('bye')", "SystemExit: bye"),
    "floods": ("return iter(ONE, None)", "flood: more than 4096"),
    "floods a million": ("return [ONE()] * 1_000_000", "flood: more than 4096"),
    "answers too much": ("return [ONE('info', {'p': 'x' * (8 << 20)})]", "flood: an answer"),
    "hangs": ("time.sleep(60)", "did not answer in time"),
    "spins": ("while True: pass", "did not answer in time"),
    "leaks": ("return [bytearray(2 << 30)]", "MemoryError"),
    "recurses": ("return normalise(now, before)", "Error: "),
    "exits": ("os._exit(3)", "(exit 3)"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "(SIGSEGV)"),
    "aborts": ("os.abort()", "(SIGABRT)"),
    "blocks signals": ("signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); time.sleep(60)", "did not answer in time"),
    "stops itself": ("os.kill(os.getpid(), signal.SIGSTOP)", "did not answer in time"),
    "closes the line": ("os.close(3); time.sleep(60)", "ended"),
    "answers nonsense": ("os.write(3, (9).to_bytes(4, 'little') + b'nonsense!'); time.sleep(60)", "no answer"),
    "answers twice": ("import pcifma.fmd.child.message as m; os.write(3, m.frame(m.Found([])) * 2); time.sleep(60)", "more than once"),
    "answers another question": ("import pcifma.fmd.child.message as m; os.write(3, m.frame(m.Counted({}))); time.sleep(60)", "Counted"),
    "drips": ("for n in range(100): os.write(3, b'd\\0\\0\\0'[n % 4 : n % 4 + 1]); time.sleep(0.2)", "did not answer in time"),
    "replaces the framework": ("import pcifma.fmd.child.message as m; m.frame = lambda _: b'\\xff' * 9; return ()", "flood"),
    "traces itself": ("sys.settrace(lambda *_: time.sleep(60)); return [ONE() for _ in range(9)]", "did not answer in time"),
    "starts threads that never end": (
        "import _thread; [_thread.start_new_thread(time.sleep, (600,)) for _ in range(10**6)]",
        "start new thread|did not answer in time",
    ),
    "announces too much": ("os.write(3, b'\\xff' * 4); time.sleep(60)", "flood"),
    "gives no findings": ("return [1, 2]", "no answer"),
    "gives nothing": ("return None", "TypeError"),
    "names no severity": ("return [ONE('awful')]", "no answer"),
    "asks for services": (
        "import pcifma.fmd.child.message as m; os.write(3, m.frame(m.Count('x', 1))); time.sleep(60)",
        "did not answer in time",
    ),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_plugin_that_misbehaves_is_ended_with_its_reason(start: Callable[..., ChildPlugin], name: str) -> None:
    body, reason = MISBEHAVIOUR[name]
    plugin = start(normalise(body))

    with pytest.raises(PluginError, match="plugin other: its process") as err:
        list(plugin.source.normalise(NOW, None))

    assert any(words in str(err.value) for words in reason.split("|"))
    with pytest.raises(ProcessLookupError):
        os.kill(plugin.child.pid, 0)


def test_hanging_plugin_costs_no_more_than_its_deadline(start: Callable[..., ChildPlugin]) -> None:
    source = start(normalise("time.sleep(60)")).source
    before_s = time.monotonic()

    for _ in range(3):
        with pytest.raises(PluginError):
            source.normalise(NOW, None)

    assert time.monotonic() - before_s < 2 * DEADLINE_S


def test_end_is_told_before_the_descriptor_can_be_somebody_elses(start: Callable[..., ChildPlugin]) -> None:
    plugin = start(normalise("os._exit(0)"))
    told: list[int] = []
    plugin.child.on_end = lambda: told.append(plugin.child.fileno())
    with pytest.raises(PluginError):
        plugin.source.normalise(NOW, None)
    plugin.child.close()
    assert len(told) == 1
    assert told[0] >= 0


def test_plugin_that_is_slow_at_each_target_is_ended_within_two_deadlines(start: Callable[..., ChildPlugin]) -> None:
    source = start(normalise(f"time.sleep({DEADLINE_S * 0.7}); return ()")).source
    assert list(source.normalise(NOW, None)) == []
    with pytest.raises(PluginError, match=r"s for 2 targets of one look"):
        source.normalise(NOW, None)


def test_many_that_hang_in_one_look_are_waited_for_less_and_less(start: Callable[..., ChildPlugin]) -> None:
    first, second, third = (start(normalise("time.sleep(60)")) for _ in range(3))
    for plugin in (first, second):
        with pytest.raises(PluginError, match="did not answer"):
            plugin.source.normalise(NOW._replace(tick=900), None)
    assert [third.child.allowed_s(900), third.child.allowed_s(901), third.child.allowed_s(900)] == [DEADLINE_S / 4, DEADLINE_S, DEADLINE_S]


def test_plugin_that_is_slow_now_and_then_goes_on(start: Callable[..., ChildPlugin]) -> None:
    source = start(normalise(f"time.sleep({DEADLINE_S * 0.7}); return ()")).source
    for tick in (3, 4, 5):
        assert list(source.normalise(NOW._replace(tick=tick), None)) == []


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="the filter knows these processors' system calls")
@pytest.mark.parametrize(
    "call",
    [
        "os.kill(os.getppid(), 0)",
        "os.kill(-1, 0)",
        "os.kill(-os.getppid(), 0)",
        "os.pidfd_open(os.getppid())",
        "signal.pidfd_send_signal(os.open(f'/proc/{os.getppid()}', os.O_RDONLY), 0)",
        "__import__('fcntl').fcntl(3, 8, os.getppid())",  # F_SETOWN
        "__import__('fcntl').ioctl(3, 0x8901, os.getppid().to_bytes(4, 'little'))",  # FIOSETOWN
        "os.sched_setaffinity(os.getppid(), {0})",
        "os.sched_setscheduler(os.getppid(), os.SCHED_IDLE, os.sched_param(0))",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        "os.setsid()",
        "os.setpgid(0, 0)",
    ],
)
def test_plugin_cannot_reach_the_daemon_nor_leave_its_group(start: Callable[..., ChildPlugin], call: str) -> None:
    with pytest.raises(PluginError, match="PermissionError"):
        start(normalise(call)).source.normalise(NOW, None)


def test_plugin_that_forks_again_and_again_is_ended_with_all_it_made(start: Callable[..., ChildPlugin]) -> None:
    plugin = start(normalise("for _ in range(200):\n        if os.fork(): break\n    time.sleep(600)"))
    with pytest.raises(PluginError, match="did not answer in time"):
        plugin.source.normalise(NOW, None)
    end_s = time.monotonic() + 20
    while OFFSPRING.dying and time.monotonic() < end_s:
        OFFSPRING.reap()
    assert not OFFSPRING.dying


SPIN = "import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin).start()\n"


def test_plugin_that_keeps_a_processor_busy_uncalled_is_ended(start: Callable[..., ChildPlugin], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "IDLE_WINDOW_S", 0.0)
    monkeypatch.setattr(process, "IDLE_SHARE", 0.01)
    busy = start(SPIN + SOURCE)
    while busy.child.idle():
        time.sleep(0.05)
    with pytest.raises(PluginError, match=r"of a processor in .* without being called"):
        busy.child.check()


def test_plugin_that_waits_to_be_called_is_not(start: Callable[..., ChildPlugin], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "IDLE_WINDOW_S", 0.2)
    calm = start(SOURCE)
    for _ in range(3):
        time.sleep(0.2)
        assert calm.child.idle()


def test_time_in_calls_is_not_held_against_a_plugin(start: Callable[..., ChildPlugin], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "IDLE_WINDOW_S", 0.0)
    monkeypatch.setattr(process, "IDLE_SHARE", 0.5)
    plugin = start(normalise("[sum(range(1000)) for _ in range(3000)]; return ()"))
    plugin.child.idle()
    for tick in range(3):
        plugin.source.normalise(NOW._replace(tick=1000 + tick), None)
    assert plugin.child.idle()


def test_plugin_may_end_its_own_children(start: Callable[..., ChildPlugin]) -> None:
    body = "pid = os.fork() or time.sleep(60); os.kill(pid, 9); return [ONE('info', {'status': os.waitpid(pid, 0)[1]})]"
    assert next(iter(start(normalise(body)).source.normalise(NOW, None))).payload == {"status": 9}


def test_plugin_that_asks_without_end_is_ended(start: Callable[..., ChildPlugin]) -> None:
    plugin = start("def watches(fabric, host):\n    while True: host.read('/x')\n\ndef normalise(now, before):\n    return ()\n")

    with pytest.raises(PluginError, match=r"flood: more than 20000 requests|did not answer in time"):
        plugin.source.watches(FABRIC, NoHost())


def test_process_that_dies_between_calls_is_noticed(start: Callable[..., ChildPlugin]) -> None:
    plugin = start("import threading\nthreading.Timer(0.05, os._exit, [4]).start()\n" + SOURCE)
    with pytest.raises(PluginError, match=r"ended.*\(exit 4\)"):
        while True:
            plugin.child.check()


def test_grandchildren_do_not_outlive_their_plugin(start: Callable[..., ChildPlugin], tmp_path: Path) -> None:
    note = tmp_path / "pids"
    body = f"""
    for _ in range(2):
        if (pid := os.fork()) == 0:
            if os.fork(): os._exit(0)
            open({str(note)!r}, "a").write(f"{{os.getpid()}}\\n")
            time.sleep(600)
        os.waitpid(pid, 0)
    while len(open({str(note)!r}).read().split()) < 2: time.sleep(0.01)
    os._exit(0)"""
    plugin = start(normalise(body.strip()))

    with pytest.raises(PluginError):
        plugin.source.normalise(NOW, None)

    for pid in note.read_text().split():
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("syntax error here", "SyntaxError"),
        ("raise RuntimeError('at import')", "at import"),
        ("import os; os._exit(9)", "(exit 9)"),
        ("def watches(fabric): pass", "normalise() is missing"),
        ("import nowhere", "ModuleNotFoundError"),
    ],
)
def test_plugin_that_cannot_be_loaded_is_refused_whole(start: Callable[..., ChildPlugin], code: str, reason: str) -> None:
    with pytest.raises(PluginError) as err:
        start(code)

    assert reason in str(err.value)


def test_plugin_sees_neither_the_daemons_files_nor_its_environment(
    start: Callable[..., ChildPlugin], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PCIFMA_SECRET", "1")
    handed_on = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(handed_on, True)
    finding = next(iter(start(normalise(SEEN)).source.normalise(NOW, None)))
    os.close(handed_on)

    seen = str(finding.evidence.location).split()
    assert "PCIFMA_SECRET" not in seen
    assert {name for name in seen if name.isdigit()} <= {"0", "1", "2", "3", "4"}  # 4 is the listing itself


SEEN = "return [Finding('ereport.x', Evidence(HOST, ' '.join([*os.listdir('/proc/self/fd'), *os.environ]), 0), 'info')]"


# Modules.


class FakeCase:
    def __init__(self, uuid: str, said: list[Any]) -> None:
        self.uuid, self.key, self.state, self._said = uuid, "key", "UNSOLVED", said

    def add_ereport(self, event: Ereport) -> None:
        self._said.append(("ereport", event.uuid))

    def add_suspect(self, suspect: Suspect) -> None:
        self._said.append(("suspect", suspect.certainty))

    def solve(self, code: str, *, severity: str, urgency: str, rest: int = 0) -> None:
        self.state = "SOLVED"
        self._said.append(("solve", code, severity, urgency, rest))

    def revise(self, suspects: Iterable[Suspect], *, code: str, severity: str, urgency: str, rest: int = 0) -> None:
        self._said.append(("revise", [one.certainty for one in suspects], code, severity, urgency, rest))

    def close(self) -> None:
        raise PluginError("only a solved case is closed")


class FakeSerd:
    def __init__(self, said: list[Any]) -> None:
        self._said = said

    def record(self, event: Ereport) -> bool:
        self._said.append(("record", event.uuid))
        return True

    def reset(self) -> None:
        self._said.append(("reset",))


class FakeServices:
    """Services that note what they were asked."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.properties: Mapping[str, Any] = {"wait": 1.5, "names": ["a"]}
        self.fabric, self.host = FABRIC, NoHost()
        self.buffers: dict[str, bytes] = {}
        self.opened: dict[str, FakeCase] = {}

    def now_ns(self) -> int:
        return 77

    def count(self, statistic: str, n: int = 1) -> None:
        self.said.append(("count", statistic, n))

    def open_case(self, key: str) -> FakeCase:
        return self.opened.setdefault(key, FakeCase(f"uuid-of-{key}", self.said))

    def cases(self) -> Iterable[FakeCase]:
        return list(self.opened.values())

    def serd(self, name: str, n: int, t_s: float) -> FakeSerd:
        self.said.append(("serd", name, n, t_s))
        return FakeSerd(self.said)

    def arm(self, timer: str, delay_s: float, data: str = "", *, keep: bool = True) -> None:
        self.said.append(("arm", timer, delay_s, data, keep))

    def disarm(self, timer: str) -> None:
        self.said.append(("disarm", timer))

    def get(self, buffer: str) -> bytes | None:
        return self.buffers.get(buffer)

    def put(self, buffer: str, data: bytes) -> None:
        self.buffers[buffer] = data

    def post(self, finding: Finding) -> None:
        self.said.append(("post", finding.class_))

    def subscribe(self, *globs: str) -> None:
        self.said.append(("subscribe", *globs))

    def status(self) -> Status:
        return STATUS

    def coverage(self) -> Iterable[Coverage]:
        return [COVERAGE]

    def execute(self, timer: str, program: Sequence[str], data: bytes, limit_s: float) -> None:
        self.said.append(("execute", timer))

    def respond(self, timer: str, response: Response) -> None:
        raise AssertionError("a plugin's process takes nothing out of service")

    def isolate(self, uuid: str) -> None:
        raise AssertionError("a plugin's process isolates nothing")


MODULE = """
class M:
    def __init__(self, services):
        self.s = services
        services.put("opened", repr((services.properties, services.fabric.id, services.now_ns())).encode())
    def recv(self, event):
        s = self.s
        case = s.open_case("k")
        case.add_ereport(event)
        fired = s.serd("e", 3, 7200).record(event)
        s.serd("e", 3, 7200).reset()
        where = dict(device="d", asru="a", fru="f", location="l", resource="r")
        case.add_suspect(Suspect(class_="fault.x", certainty=80, status="faulty", **where))
        try:
            case.close()
        except Exception as err:
            s.put("refused", str(err).encode())
        case.solve("PCIFMA-1", severity="major", urgency="now", rest=7)
        case.revise([Suspect(class_="fault.y", certainty=9, status="faulty", **where)], code="PCIFMA-2", severity="minor", urgency="now")
        s.subscribe("list.*", "ereport.*")
        heard = [(line.device, line.heard.fatal) for line in s.coverage()]
        s.put("status", repr((s.status().version, s.status().looks.slow, s.status().cases, heard)).encode())
        s.arm("t", 1.0, keep=False)
        try:
            s.execute("x", ["/bin/true"], b"", 1.0)
        except PluginError as err:
            s.put("execute", str(err).encode())
        s.put("seen", repr((fired, [(c.uuid, c.state) for c in s.cases()], s.get("none"))).encode())
        s.count("events", 2)
        s.arm("t", 2.5, "d")
        s.disarm("t")
        s.post(Finding("ereport.m", Evidence(Target("host", "host"), "x", 0), "info"))
    def timeout(self, timer, data): self.s.put("timer", (timer + data).encode())
    def topo(self, fabric): self.s.put("topo", self.s.fabric.id.encode())
    def stats(self): return {"n": 5}
    def close(self): self.s.put("closed", b"1")

def open(services): return M(services)
"""


def test_module_has_all_services(start: Callable[..., ChildPlugin], event: Ereport) -> None:
    services = FakeServices()
    module = start(MODULE, kind="module").open(services)

    module.recv(event)
    module.timeout("t", "d")
    module.topo(Fabric("f2", {}))

    assert services.buffers["opened"] == b"({'wait': 1.5, 'names': ['a']}, 'f1', 77)"
    assert services.buffers["seen"] == b"(True, [('uuid-of-k', 'SOLVED')], None)"
    assert services.buffers["status"] == b"('2', {'0000:04:00.0': 3}, (), [('0000:04:00.0', None)])"
    assert services.buffers["execute"].startswith(b"only built-in modules")
    assert services.buffers["refused"] == b"PluginError: only a solved case is closed"
    assert (services.buffers["timer"], services.buffers["topo"]) == (b"td", b"f2")
    assert module.stats() == {"n": 5}
    assert services.said == [
        ("ereport", event.uuid),
        ("serd", "e", 3, 7200.0), ("record", event.uuid), ("serd", "e", 3, 7200.0), ("reset",),
        ("suspect", 80),
        ("solve", "PCIFMA-1", "major", "now", 7),
        ("revise", [9], "PCIFMA-2", "minor", "now", 0),
        ("subscribe", "list.*", "ereport.*"), ("arm", "t", 1.0, "", False),
        ("count", "events", 2), ("arm", "t", 2.5, "d", True), ("disarm", "t"), ("post", "ereport.m"),
    ]  # fmt: skip


def test_module_process_ends_when_it_is_closed(start: Callable[..., ChildPlugin]) -> None:
    services = FakeServices()
    plugin = start(MODULE, kind="module")

    plugin.open(services).close()

    assert services.buffers["closed"] == b"1"
    assert plugin.child.dead == "closed"


def test_module_that_cannot_be_opened_is_refused(start: Callable[..., ChildPlugin]) -> None:
    plugin = start("def open(services): raise RuntimeError('not today')", kind="module")

    with pytest.raises(PluginError, match="RuntimeError: not today"):
        plugin.open(FakeServices())


@pytest.fixture
def event() -> Ereport:
    return Ereport(
        class_="ereport.io.pciex.dl.btlp", uuid="7c0d3f52-0000-5000-8000-000000000001", host="h", boot="b", seq=1, tick=0,
        time="2000-01-01T00:00:00.000000000Z", not_before=None, first_look=False, residue=False, ena="0" * 16, device="0000:04:00.0",
        detector={}, resource="hc:///", fabric="f", severity="correctable", plugin="p", sources=["poll"], trust="host", payload={},
    )  # fmt: skip
