"""Life: what one domain went through in a trace, from its creation (or the trace's begin) to its end, in the order the calls began."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pcifma.xpv.call import Call, Return
from pcifma.xpv.decode import Moment
from pcifma.xpv.firing import error_name
from pcifma.xpv.probe import Site
from pcifma.xpv.sequence import HARMLESS

CREATE: Site = ("domctl", "createdomain")
DESTROY: Site = ("domctl", "destroydomain")
# Daemons only look; their calls are no part of what the tools do.
DAEMONS = ("xenstored", "oxenstored", "xenconsoled")
_SPECIAL = 0x7FF0


@dataclass(slots=True)
class Act:
    """One call for a domain. *done* is None if it never returned in this trace."""

    number: int
    call: Call
    done: Return | None = None

    @property
    def site(self) -> Site:
        """What it is; every device model operation counts as one."""
        return ("dm_op", None) if self.call.site[0] == "dm_op" else self.call.site

    @property
    def error(self) -> str | None:
        """Its error's name, None if it did not fail or the failure is an ordinary one."""
        name = error_name(self.done) if self.done else None
        harmless = (*HARMLESS.get((self.site, None), ()), *HARMLESS.get((self.site, self.first), ()))
        return None if name in harmless else name

    @property
    def first(self) -> int | None:
        """The first word of the body of a structure with a header, as shadow_op's mode."""
        return self.call.number(16, 4)


@dataclass(slots=True)
class Life:
    """A domain's acts. *created* if its creation is in the trace."""

    domain: int | None
    created: bool
    acts: list[Act] = field(default_factory=list)

    @property
    def by(self) -> Call:
        """Who began it."""
        return self.acts[0].call


@dataclass(slots=True)
class Lives:
    """All domains' lives in a trace. An id that a create could not show is learnt from the next call of its thread for a domain."""

    lives: list[Life] = field(default_factory=list)
    calls: int = 0
    _now: dict[int, Life] = field(default_factory=dict)
    _open: dict[tuple[int, int], Act] = field(default_factory=dict)
    _unnamed: dict[int, Life] = field(default_factory=dict)

    def feed(self, moments: Iterable[Moment]) -> None:
        """Add *moments*."""
        for moment in moments:
            if isinstance(moment, Return):
                self._returned(moment)
            elif isinstance(moment, Call) and moment.comm not in DAEMONS:
                self._called(moment)

    def _called(self, call: Call) -> None:
        self.calls += 1
        act = Act(self.calls, call)
        self._open[call.tid, call.entry] = act
        if call.site == CREATE:
            life = Life(None, created=True, acts=[act])
            self._unnamed[call.tid] = life
            self.lives.append(life)
            return
        domain = call.domain
        if domain is not None and domain < _SPECIAL:
            self._learn(call.tid, domain, family=call.site[0])
            self._life(domain).acts.append(act)

    def _learn(self, tid: int, domain: int, *, family: str) -> None:
        life = self._unnamed.get(tid)
        if life is not None and family == "domctl":
            self._name(tid, life, domain)

    def _name(self, tid: int, life: Life, domain: int) -> None:
        life.domain = domain
        self._now[domain] = life
        self._unnamed.pop(tid, None)

    def _life(self, domain: int) -> Life:
        if domain not in self._now:
            self._now[domain] = Life(domain, created=False)
            self.lives.append(self._now[domain])
        return self._now[domain]

    def _returned(self, done: Return) -> None:
        act = self._open.pop((done.call.tid, done.call.entry), None)
        if act is None:
            return
        act.done = done
        if act.site == CREATE:
            life = self._unnamed.get(done.call.tid)
            if life is not None and done.created is not None:
                self._name(done.call.tid, life, done.created)
            elif life is not None and done.failed:
                self._unnamed.pop(done.call.tid)
        elif act.site == DESTROY and done.failed is False:
            domain = done.call.domain
            if domain is not None:
                self._now.pop(domain, None)


def lives(moments: Iterable[Moment]) -> Lives:
    """Return the lives in *moments*."""
    found = Lives()
    found.feed(moments)
    return found
