"""The keeper: which states of its runs the engine saves, when, and where a run that was saved elsewhere goes on.

Remembers the newest state of every sample, decoded ones too, as all are needed until the request is done. A saved state
is used only where job, model and plan are the same; else the request starts over and its log says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from laterna.clock import Clock
from laterna.contracts.generation import ModelRef
from laterna.contracts.messages import Note, Resumed
from laterna.engine.checkpoints import Checkpoints
from laterna.engine.run import Run
from laterna.engine.sample import Sample
from laterna.engine.snapshot import Identity, Snapshot, State, differences, identity, put_back, state_of


@dataclass(kw_only=True)
class _Kept:
    """What is known of one run."""

    found: Snapshot | None  # what an earlier worker saved; absent once it is of no use
    saved_ns: int  # monotonic time of the last save, or of the run's coming
    resumed: bool = False  # whether its owner knows that it goes on
    states: dict[int, State] = field(default_factory=dict)  # newest of each sample, by index


class Keeper:
    """Without checkpoints it does nothing. Not thread-safe: the engine's thread owns it."""

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        plan_of: Callable[[ModelRef], str],
        clock: Clock,
        say: Callable[[Note | Resumed], None],
    ) -> None:
        """`plan_of`: the digest of a loaded model's plan."""
        self._checkpoints = checkpoints
        self._plan_of = plan_of
        self._clock = clock
        self._say = say
        self._runs: dict[Run, _Kept] = {}

    def take(self, run: Run) -> None:
        """A run has come: look for what was saved of it."""
        if self._checkpoints is not None:
            found = self._checkpoints.find(run.order.lease.request_id)
            self._runs[run] = _Kept(found=found, saved_ns=self._clock.monotonic_ns())

    def resume(self, sample: Sample) -> None:
        """Put a sample that was just encoded where it was saved, if it was."""
        kept = self._runs.get(sample.run)
        if kept is None or kept.found is None:
            return
        found, changed = kept.found, differences(kept.found.identity, self._identity(sample.run))
        if changed:
            self._start_over(sample.run, f"{' and '.join(changed)} changed")
        elif (state := found.samples.get(sample.index)) is not None:
            try:
                put_back(sample, state)
            except (ValueError, RuntimeError) as error:
                self._start_over(sample.run, str(error))
            else:
                self._tell(sample.run, kept, found)

    def stepped(self, sample: Sample) -> None:
        """A sample has done a step."""
        kept = self._runs.get(sample.run)
        if kept is not None:
            kept.states[sample.index] = state_of(sample)

    def save_due(self, run: Run) -> None:
        """Save the run if it is time."""
        kept = self._runs.get(run)
        if kept is None or self._checkpoints is None:
            return
        if self._clock.monotonic_ns() - kept.saved_ns >= 1e9 * self._checkpoints.interval_s(len(self._runs)):
            self.save(run)

    def save(self, run: Run) -> None:
        """Save the run as it is; nothing where it has not begun."""
        kept = self._runs.get(run)
        if kept is None or not kept.states or self._checkpoints is None:
            return
        kept.saved_ns = self._clock.monotonic_ns()
        self._checkpoints.save(
            Snapshot(lease=run.order.lease, identity=self._identity(run), spent=run.bill(), samples=dict(kept.states))
        )

    def forget(self, run: Run) -> None:
        """It has left the engine; its file is its owner's business."""
        self._runs.pop(run, None)

    def _identity(self, run: Run) -> Identity:
        return identity(run.order.generation, run.order.model, self._plan_of(run.order.model))

    def _tell(self, run: Run, kept: _Kept, found: Snapshot) -> None:
        """Once; then it is this lease's, so that nobody tells again what the former one spent."""
        if not kept.resumed:
            kept.resumed, kept.states = True, dict(found.samples)
            step = min(state.step for state in found.samples.values())
            self._say(Resumed(lease=run.order.lease, step=step, former=found.lease, spent=found.spent))
            self.save(run)

    def _start_over(self, run: Run, why: str) -> None:
        kept = self._runs[run]
        kept.found, kept.states = None, {}
        note = f"it starts over: what was saved of it cannot be used, as {why}"
        self._say(Note(lease=run.order.lease, level="WARN", message=note))
