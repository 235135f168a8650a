"""From entries of the record to what the pages show. Pure: entries in, sums out.

The record is the one source that knows every replica and every restart. Sums of a day are kept in
slots of five minutes, sums of a minute in slots of five seconds: a sum may hold up to one slot more
than its window. What is held for requests under way counts as used, as it does for the counters.
Memory grows with organisations and reason codes, not with requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from strongroom.console.reading import Act, Refusals, Signal, Use
from strongroom.ledger import entries, release_entries
from strongroom.store.limits import RESOURCES, Limits, Resource, WindowName

Explain = Callable[[entries.Signal], str]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
_FINE_MS, _COARSE_MS = 5_000, 300_000
_MOST_SIGNALS: Final = 200
_MOST_ACTS: Final = 50
_TIMES: Final = "times"

_SHOWN: Final[dict[Resource, str]] = {
    "requests": "requests",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
    "compute_ms": "compute seconds",
    "egress_millibits": "egress",
}


class Sliding:
    """Sums of one number over the latest slots."""

    __slots__ = ("_slots", "_span", "_width")

    def __init__(self, width_ms: int, span_ms: int) -> None:
        self._width = width_ms
        self._span = span_ms
        self._slots: deque[list[int]] = deque()

    def add(self, at: int, amount: int) -> None:
        """Count ``amount`` at the Unix time ``at`` in ms; late ones count for the newest slot."""
        slot = at // self._width
        if self._slots and slot <= self._slots[-1][0]:
            self._slots[-1][1] += amount
            return
        self._slots.append([slot, amount])
        while self._slots[0][0] * self._width < at - self._span - self._width:
            self._slots.popleft()

    def sum(self, now: int, span_ms: int | None = None) -> int:
        """What was counted in the last ``span_ms`` (all of the span, if not given)."""
        first = (now - (span_ms or self._span)) // self._width
        return sum(amount for slot, amount in self._slots if slot >= first)


class Tally:
    """What one organisation spent, by resource, and what is held for it."""

    __slots__ = ("_day", "_minute", "_total", "held", "open", "signals")

    def __init__(self) -> None:
        self._minute = {name: Sliding(_FINE_MS, MINUTE_MS) for name in RESOURCES}
        self._day = {name: Sliding(_COARSE_MS, DAY_MS) for name in RESOURCES}
        self._total = dict.fromkeys(RESOURCES, 0)
        self.held = dict.fromkeys(RESOURCES, 0)
        self.open = 0
        self.signals = Sliding(_COARSE_MS, DAY_MS)

    def spend(self, at: int, settled: dict[str, int]) -> None:
        """A request has ended and cost this."""
        for name in RESOURCES:
            if amount := settled.get(name, 0):
                self._minute[name].add(at, amount)
                self._day[name].add(at, amount)
                self._total[name] += amount

    def hold(self, reserved: dict[str, int], sign: int) -> None:
        """A request begins (1) or ends (-1)."""
        self.open += sign
        for name in RESOURCES:
            self.held[name] += sign * reserved.get(name, 0)

    def day(self, resource: Resource, now: int) -> int:
        """Spent in the last day."""
        return self._day[resource].sum(now)

    def used(self, window: WindowName, resource: Resource, now: int) -> int:
        """Spent in the window, and held."""
        if window == "total":
            spent = self._total[resource]
        else:
            spent = (self._minute if window == "minute" else self._day)[resource].sum(now)
        return spent + self.held[resource]

    def uses(self, limits: Limits, now: int) -> Iterator[Use]:
        """How each limit that is set is used, most urgent window first."""
        for window in ("minute", "day", "total"):
            amounts = getattr(limits, window)
            for resource in RESOURCES:
                limit = getattr(amounts, resource)
                if limit is None:
                    continue
                used = self.used(window, resource, now)
                if resource == "egress_millibits" or resource == "compute_ms":
                    used, limit = used // 1000, limit // 1000
                yield Use(_SHOWN[resource], window, used, limit)
        if limits.concurrent is not None:
            yield Use("requests", "now", self.open, limits.concurrent)


class Fold:
    """The sums over all logs of a home. Feed it every record of every log, each log in order.

    Args:
        explain: a signal in one sentence.
    """

    def __init__(self, explain: Explain) -> None:
        self._explain = explain
        self._open: dict[str, tuple[str, dict[str, int]]] = {}
        self.tallies: dict[str, Tally] = {}
        self._refused: dict[str, dict[str, Sliding]] = {}
        self._last_refused: dict[str, int] = {}
        self._signals: deque[Signal] = deque(maxlen=_MOST_SIGNALS)
        self._acts: deque[Act] = deque(maxlen=_MOST_ACTS)
        self.switched_by: dict[tuple[str, str], str] = {}
        """(``model`` or ``organisation``, name) to who switched it last."""

    def add(self, recorded: entries.Recorded) -> None:
        """Take one record."""
        at, entry = recorded.at, recorded.entry
        match entry:
            case entries.RequestIntent():
                self._open[entry.request] = (entry.organisation, entry.reserved)
                self.tally(entry.organisation).hold(entry.reserved, 1)
            case entries.RequestFinal():
                self._final(at, entry)
            case entries.Refused():
                times = entry.counts.get(_TIMES, 1)
                self._refuse(at, entry.code, entry.organisation, times)
            case entries.Signal():
                self._signal(at, entry)
            case _:
                self._act(at, entry)

    def tally(self, organisation: str) -> Tally:
        """The organisation's sums."""
        found = self.tallies.get(organisation)
        if found is None:
            found = self.tallies[organisation] = Tally()
        return found

    def refused_day(self, organisation: str, now: int) -> int:
        """Refusals of the organisation in the last day."""
        return sum(by[organisation].sum(now) for by in self._refused.values() if organisation in by)

    def refusals(self, now: int) -> tuple[Refusals, ...]:
        """Reasons of the last day, the most frequent first."""
        found = []
        for code, by in self._refused.items():
            days = {name: sliding.sum(now) for name, sliding in by.items()}
            whose = sorted(((n, c) for n, c in days.items() if c), key=lambda each: -each[1])
            if whose:
                hour = sum(sliding.sum(now, HOUR_MS) for sliding in by.values())
                last = _moment(self._last_refused[code])
                found.append(Refusals(code, hour, sum(days.values()), last, tuple(whose)))
        return tuple(sorted(found, key=lambda each: -each.day))

    def signals(self, now: int) -> tuple[Signal, ...]:
        """Signals of the last week, the newest first."""
        first = _moment(now - WEEK_MS)
        return tuple(each for each in reversed(self._signals) if each.at >= first)

    def acts(self) -> tuple[Act, ...]:
        """What operators and key release did last, the newest first."""
        return tuple(sorted(self._acts, key=lambda act: act.at, reverse=True))

    def _final(self, at: int, entry: entries.RequestFinal) -> None:
        held = self._open.pop(entry.request, None)
        if held is None:
            return  # its intent lies before what this log still has
        organisation, reserved = held
        tally = self.tally(organisation)
        tally.hold(reserved, -1)
        tally.spend(at, entry.settled)
        if entry.code and entry.outcome in ("failed", "stopped"):
            self._refuse(at, entry.code, organisation, 1)

    def _refuse(self, at: int, code: str, organisation: str, times: int) -> None:
        by = self._refused.setdefault(code, {})
        by.setdefault(organisation, Sliding(_COARSE_MS, DAY_MS)).add(at, times)
        self._last_refused[code] = at

    def _signal(self, at: int, entry: entries.Signal) -> None:
        self.tally(entry.organisation).signals.add(at, 1)
        self._signals.append(
            Signal(
                _moment(at),
                entry.detector,
                entry.organisation,
                entry.score / 1000,
                self._explain(entry),
                _DONE[entry.action],
            )
        )

    def _act(self, at: int, entry: entries.AnyEntry) -> None:
        what, detail, by = _told(entry)
        self._acts.append(Act(_moment(at), what, detail, by))
        if isinstance(entry, entries.Switched):
            self.switched_by[entry.subject_kind, entry.subject] = entry.by


_DONE: Final = {
    "none": "Recorded; the policy does no more.",
    "throttle": "The policy slows it down for a while.",
    "suspend": "The policy suspends it for a while.",
    "block": "The request was refused.",
}


def _told(entry: entries.AnyEntry) -> tuple[str, str, str]:
    """What was done, to what, and by whom. A short list of plain words, no entry left unnamed."""
    match entry:
        case entries.Switched():
            remark = f": {entry.remark}" if entry.remark else ""
            state = "on" if entry.on else "off"
            return f"switched {state}", f"{entry.subject_kind} {entry.subject}{remark}", entry.by
        case entries.LimitsChanged():
            limits = ", ".join(f"{name} {amount:,}" for name, amount in entry.limits.items())
            subject = f"{entry.subject_kind} {entry.subject}"
            return "limits set", f"{subject}: {limits or 'none'}", entry.by
        case entries.KeyChanged():
            return f"key {entry.change}", f"{entry.key_id} of {entry.organisation}", entry.by
        case entries.OperatorChanged():
            return f"operator {entry.change}", f"{entry.operator_id}, {entry.operator}", entry.by
        case entries.SchemaChanged():
            return f"schema {entry.change}", f"{entry.schema}, {entry.digest[:16]}…", entry.by
        case entries.OrganisationChanged():
            return f"organisation {entry.change}", entry.organisation, entry.by
        case entries.PolicyChanged():
            return "policy changed", f"{entry.policy} is now {entry.new_digest[:16]}…", entry.by
        case release_entries.KeyReleased():
            lease = _moment(entry.lease_until * 1000)
            until = f"until {lease:%Y-%m-%d %H:%M}" if entry.lease_until else "without a lease"
            return "key released", f"{entry.key_id} {until}", "key release"
        case release_entries.KeyRefused():
            return "key refused", entry.reason, "key release"
        case release_entries.LeaseRenewed():
            lease = _moment(entry.lease_until * 1000)
            what = f"of {entry.renews} until {lease:%Y-%m-%d %H:%M}"
            return "lease renewed", what, "key release"
        case release_entries.LeaseRefused():
            return "lease not renewed", f"of {entry.renews}: {entry.reason}", "key release"
        case release_entries.ApprovalGiven():
            return "approved", f"{entry.action} {entry.subject_digest[:16]}…", entry.approver
        case release_entries.ApprovalRevoked():
            what = f"{entry.action} {entry.subject_digest[:16]}…"
            return "approval revoked", what, entry.approver
        case release_entries.ModelRevoked():
            releases = f"release {entry.release}" if entry.release else "all releases"
            named = (
                f"{entry.model}, {releases}" if entry.model else f"{entry.manifest_digest[:16]}…"
            )
            return "model revoked", f"{named}: {entry.remark}", entry.by
        case release_entries.DerivationNoted():
            return "derivation noted", f"{entry.model} from {entry.source_model}", entry.by
        case entries.KeeperFault():
            return "keeper ended", f"{entry.model}: {entry.code}", "keeper"
        case entries.TuningChanged():
            became = entry.code or entry.manifest_digest[:16]
            what = f"{entry.job} of {entry.organisation} over {entry.model}"
            detail = f"{what}: {became}" if became else what
            return f"tuning {entry.change}", detail, entry.by or entry.key_id
        case entries.SessionChanged():
            what = f"{entry.session} of {entry.organisation} over {entry.model}"
            detail = f"{what}, {entry.steps} steps" if entry.change == "over" else what
            return f"training session {entry.change}", detail, entry.by or entry.key_id
        case entries.AdapterReleased() | entries.StudentReleased():
            kind = "adapter" if isinstance(entry, entries.AdapterReleased) else "student"
            passed = "released" if entry.passed else "refused"
            return f"{kind} {passed}", f"{entry.manifest_digest[:16]}…", entry.by
        case entries.AdapterPromoted():
            return "adapter promoted", f"{entry.model}:{entry.name} to {entry.job}", entry.by
        case entries.AdapterRolledBack():
            means = entry.job or "nothing"
            return "adapter rolled back", f"{entry.model}:{entry.name} to {means}", entry.by
        case entries.Committed():
            what = f"{entry.model} release {entry.release}, {entry.digest[:16]}…"
            return f"{entry.kind.replace('_', ' ')} committed", what, entry.by
    return "recorded", type(entry).__name__, ""


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
