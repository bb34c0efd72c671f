"""The engine: plan, run, settle.

One call of `turn` is one device call. Between two turns any request may join, leave or be cancelled. The engine owns
the samples, asks the policy what to run, has the runner do it, and says what happened to its `Audience`. It knows no
model by name, opens no store and never waits: its neighbours are the worker's loop around it and the families below
it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import torch

from laterna.clock import Clock
from laterna.contracts.generation import ModelRef, work_tokens
from laterna.contracts.messages import Assign, Failed, Lease, Note, Observation, Progress, Resumed, Started
from laterna.engine import runner
from laterna.engine.checkpoints import Checkpoints
from laterna.engine.keeper import Keeper
from laterna.engine.memory import free_memory, is_out_of_memory
from laterna.engine.metering import divide
from laterna.engine.residency import Residency
from laterna.engine.run import Run
from laterna.engine.sample import Sample, progress
from laterna.errors import LaternaError, OutOfMemory, RequestCancelled, SampleFailed
from laterna.families.family import Family, Picture
from laterna.scheduler.policy import Candidate, Policy, StepPlan

PREVIEW_NS = 400_000_000  # at most one preview of a request in so many nanoseconds

FAILURES = (RuntimeError, ValueError, ArithmeticError, IndexError, KeyError, MemoryError, LaternaError)  # of a call

Said = Started | Resumed | Progress | Note | Failed


class Audience(Protocol):
    """Who hears what happens: the worker."""

    def say(self, message: Said) -> None: ...

    def observe(self, seen: Observation) -> None: ...

    def preview(self, run: Run, progress: Progress, index: int, picture: Picture) -> None:
        """A picture of an unfinished sample, to be sent along with its progress."""
        ...

    def picture(self, run: Run, index: int, picture: Picture) -> None:
        """A finished picture, to be encoded and stored."""
        ...

    def complete(self, run: Run) -> None:
        """All pictures of the run were handed over."""
        ...


@dataclass(frozen=True, kw_only=True)
class Running:
    """A device call that has begun."""

    plan: StepPlan
    begun_ns: int  # monotonic
    first: bool  # the first of its model and stage in this process, of which little can be predicted


class Engine:
    """Not thread-safe: one thread owns it."""

    def __init__(
        self,
        residency: Residency,
        policy: Policy,
        clock: Clock,
        audience: Audience,
        checkpoints: Checkpoints | None = None,
        plan_of: Callable[[ModelRef], str] = lambda ref: "",
    ) -> None:
        """`plan_of`: the digest of a loaded model's plan; without `checkpoints` nothing is saved."""
        self._residency = residency
        self._policy = policy
        self._clock = clock
        self._audience = audience
        self._plan_of = plan_of
        self._keeper = Keeper(checkpoints, plan_of, clock, audience.say)
        self._ran: set[tuple[str, str]] = set()  # model and stage of calls that came to an end
        self.running: Running | None = None  # the call that the device is busy with; may be read by any thread
        self._samples: list[Sample] = []
        self._free_ns: int | None = None  # when the last call ended; absent where something else came since

    def submit(self, order: Assign, taken_ns: int | None = None) -> None:
        """Have it done, beside what is under way.

        `taken_ns`: when, by the monotonic clock, its adapters began to be fetched; absent: it needed none.
        """
        self._policy.weigh(order.tenant, order.weight)
        count, now = order.generation.count, self._clock.monotonic_ns()
        run = Run(
            order=order,
            begun_ns=now if taken_ns is None else taken_ns,
            pictures_left=count,
            watched=order.generation.previews,
        )
        if taken_ns is not None:
            run.timeline.add("fetch", 0, now - taken_ns, count)
        self._keeper.take(run)
        for index in range(count):
            job = msgspec.structs.replace(order.generation, seed=order.generation.seed + index)
            sample = Sample(run=run, index=index, job=job, generator=torch.Generator("cpu"))
            self._samples.append(sample)
            self._policy.put(self._candidate(sample))

    def cancel(self, lease: Lease, waits_again: bool = False) -> bool:
        """Take the request out before its next step, saved where it waits again; says how much it had used.

        False where none of it is left here.
        """
        found = {sample.run for sample in self._samples if sample.run.order.lease == lease}
        for run in found:
            if waits_again:
                self._keeper.save(run)
                self.fail(run, RequestCancelled.code, "the request was taken back; it goes on later", retry=True)
            else:
                self.fail(run, RequestCancelled.code, "the request was cancelled")
        return bool(found)

    def save_all(self) -> None:
        """Save what is running, for whoever goes on with it."""
        for run in {sample.run for sample in self._samples}:
            self._keeper.save(run)

    def fail(self, run: Run, code: str, message: str, retry: bool = False) -> None:
        """End a run, be it here or with the audience, and say so once; what is left of it is not computed."""
        if run.failed:
            return
        run.failed = True
        left = [sample for sample in self._samples if sample.run is run]
        done, steps = progress(run, left)
        for sample in left:
            self._samples.remove(sample)
            self._policy.drop(id(sample))
        self._keeper.forget(run)
        self._audience.say(
            Failed(
                lease=run.order.lease,
                code=code,
                message=message,
                spent=run.bill(),
                retry=retry,
                timeline=run.timeline.spans(),
                done=done,
                steps=steps,
            )
        )

    def watch(self, lease: Lease) -> None:
        for sample in self._samples:
            if sample.run.order.lease == lease:
                sample.run.watched = True

    def resident(self) -> list[str]:
        return self._residency.names()

    def turn(self) -> bool:
        """One device call, or one model loaded; False when there is nothing to do."""
        waiting: set[str] = set()
        while True:
            plan = self._policy.plan(waiting)
            if plan is None:
                self._free_ns = None
                return False
            members = _members(plan, self._samples)
            family = self._family(members[0].run)
            if family is not None:
                break
            if members[0] in self._samples:  # else it cannot be loaded at all, and its requests have failed
                waiting.add(plan.model)
        self._run(plan, family, members)
        return True

    def _family(self, run: Run) -> Family | None:
        """The model, loaded now if there is room; None if it must wait or cannot be loaded at all."""
        ref = run.order.model
        family = self._residency.get(ref)
        if family is not None:
            return family
        self._say_loading(ref)
        self._free_ns = None
        begun = self._clock.monotonic_ns()
        try:
            family = self._residency.load(ref, self._busy())
        except LaternaError as error:
            self._fail_all(ref, error)
        except (RuntimeError, OSError, ValueError, KeyError, MemoryError) as error:
            self._fail_all(ref, SampleFailed(f"model {ref.id!r} could not be loaded: {error}"))
        else:
            if family is not None:
                self._note_load(ref, begun)
            return family
        return None

    def _note_load(self, ref: ModelRef, begun: int) -> None:
        """In the timelines of all who waited for it."""
        members = [sample for sample in self._samples if sample.run.order.model == ref]
        took = self._clock.monotonic_ns() - begun
        for run in {sample.run for sample in members}:
            run.timeline.add("load", begun - run.begun_ns, took, len(members))

    def _candidate(self, sample: Sample) -> Candidate:
        order = sample.run.order
        return Candidate(
            id=id(sample),
            request=order.lease.token,
            model=order.model.name,
            stage=sample.stage,
            group=self._group(sample),
            tokens=work_tokens(sample.job),
            steps_left=sample.steps - sample.step,
            steps=sample.steps,
            tenant=order.tenant,
            priority=order.priority,
            created_us=order.created_us,
            finish_by_us=order.finish_by_us,
            adapters=_adapted(sample, sample.stage),
        )

    def _group(self, sample: Sample) -> Hashable:
        """Whose calls the sample may share; its family says so, and is in memory from the first denoising step on."""
        stage, family = sample.stage, self._residency.get(sample.run.order.model)
        return None if stage == "encode" or family is None else family.batch_key(sample.job, stage)

    def _say_loading(self, ref: ModelRef) -> None:
        for run in {s.run for s in self._samples if s.run.order.model == ref and not s.run.told_loading}:
            run.told_loading = True
            note = f"loading {ref.id} ({ref.weights})"
            self._audience.say(Note(lease=run.order.lease, level="INFO", message=note))
            steps = run.order.generation.steps
            self._audience.say(
                Progress(lease=run.order.lease, stage="load", step=0, steps=steps, batch=0, remaining_s=0.0)
            )

    def _run(self, plan: StepPlan, family: Family, members: Sequence[Sample]) -> None:
        """Carry the call out; if it fails, in parts, so that a bad sample fails alone."""
        members = [member for member in members if member in self._samples]  # others may have failed meanwhile
        if not members:
            return
        self._start(members)
        begun, problem, shares = self._clock.monotonic_ns(), None, [1.0] * len(members)
        self.running = Running(plan=plan, begun_ns=begun, first=(plan.model, plan.stage) not in self._ran)
        try:
            settle, shares = self._call(plan.stage, family, members)
        except FAILURES as error:
            problem = error.with_traceback(None)  # its frames hold the memory that the next try needs
        finally:
            self.running = None
            self._ran.add((plan.model, plan.stage))
        device_ns = self._meter(plan.stage, members, begun, shares)
        between_ns = None if self._free_ns is None else begun - self._free_ns
        self._free_ns = begun + device_ns
        if problem is None:
            self._observe(plan, members, device_ns, shares, between_ns)
            settle()
        elif is_out_of_memory(problem):
            self._run_smaller(plan, family, members)
        elif len(members) > 1:
            for member in members:
                self._run(plan, family, [member])
        else:
            self.fail(members[0].run, _code(problem), f"{plan.stage} failed: {problem}")

    def _run_smaller(self, plan: StepPlan, family: Family, members: Sequence[Sample]) -> None:
        """After one call was too much for the memory: in halves from now on, or with other models out of the way."""
        free_memory()
        half = len(members) // 2
        if half:
            self._policy.limit(self._candidate(members[0]), len(members) - half)
            self._run(plan, family, members[:half])
            self._run(plan, family, members[half:])
        elif self._residency.unload(self._busy() | {plan.model}):
            self._run(plan, family, members)
        else:
            job = members[0].job
            size = f"{plan.stage} of {job.width}x{job.height} is too much for the device's memory"
            self.fail(members[0].run, OutOfMemory.code, f"{size}; ask for a smaller size")

    def _busy(self) -> set[str]:
        """Models with samples under way."""
        return {sample.run.order.model.name for sample in self._samples if sample.stage != "encode"}

    def _start(self, members: Iterable[Sample]) -> None:
        for run in {sample.run for sample in members}:
            if run.started_ns is None:
                run.started_ns = self._clock.monotonic_ns()
                self._audience.say(Started(lease=run.order.lease, plan=self._plan_of(run.order.model)))

    def _call(self, stage: str, family: Family, members: Sequence[Sample]) -> tuple[Callable[[], None], list[float]]:
        """The device call: how to settle it, and the share of a whole call's work that each member took.

        What may fail changes nothing, and what changes does not fail.
        """
        whole = [1.0] * len(members)
        if stage == "encode":
            encoded = runner.encode(family, members)
            return lambda: self._settle_encoded(members, encoded), whole
        if stage == "denoise":
            denoised = runner.denoise(family, members)
            return lambda: self._settle_denoised(family, members, denoised), [result.share for result in denoised]
        pictures = runner.decode(family, members)
        return lambda: self._settle_decoded(members, pictures), whole

    def _meter(self, stage: str, members: Sequence[Sample], begun: int, shares: Sequence[float]) -> int:
        """Divide the time since then among those who were in the call, and note it in their runs; returns it."""
        device_ns = self._clock.monotonic_ns() - begun
        work = [max(1, round(work_tokens(s.job) * share)) for s, share in zip(members, shares, strict=True)]
        for sample, own_ns in zip(members, divide(device_ns, work), strict=True):
            self._charge(sample.run, stage, own_ns)
        for run in {sample.run for sample in members}:
            run.timeline.add(stage, begun - run.begun_ns, device_ns, len(members))
        return device_ns

    def _charge(self, run: Run, stage: str, device_ns: int) -> None:
        run.charge(stage, device_ns)
        self._policy.charge(run.order.tenant, device_ns / 1e9)

    def _observe(
        self,
        plan: StepPlan,
        members: Sequence[Sample],
        device_ns: int,
        shares: Sequence[float],
        between_ns: int | None,
    ) -> None:
        tokens = sum(work_tokens(sample.job) for sample in members) // len(members)
        self._audience.observe(
            Observation(
                model=plan.model,
                stage=plan.stage,
                tokens=tokens,
                batch=len(members),
                device_ns=device_ns,
                adapters=sum(_adapted(sample, plan.stage) for sample in members),
                skipped=sum(share < 1 for share in shares),
                between_ns=between_ns,
            )
        )

    def _settle_encoded(self, members: Sequence[Sample], encoded: Sequence[runner.Encoded]) -> None:
        for sample, result in zip(members, encoded, strict=True):
            sample.conditioning = result.conditioning
            sample.beginning = result.beginning
            sample.latent = result.beginning.latent
            sample.history = result.history
            self._keeper.resume(sample)
            self._policy.put(self._candidate(sample))
            for remark in result.conditioning.remarks if sample.index == 0 else ():
                self._audience.say(Note(lease=sample.run.order.lease, level="WARN", message=remark))

    def _settle_denoised(self, family: Family, members: Sequence[Sample], results: Sequence[runner.Denoised]) -> None:
        for sample, result in zip(members, results, strict=True):
            sample.latent, sample.history, sample.cache = result.latent, result.history, result.cache
            sample.step += 1
            if sample.run.failed:  # by a sibling
                continue
            if result.finite:
                self._keeper.stepped(sample)
                self._policy.put(self._candidate(sample))
            else:
                where = f"sample {sample.index} became infinite or not a number in step {sample.step} of {sample.steps}"
                self.fail(sample.run, SampleFailed.code, where)
        told: set[Run] = set()
        for sample, result in zip(members, results, strict=True):
            if sample.run not in told and sample in self._samples:
                told.add(sample.run)
                self._report(family, sample, result, len(members))
        for run in told:  # after the report, so that no work is saved that nobody was told of
            self._keeper.save_due(run)

    def _report(self, family: Family, sample: Sample, result: runner.Denoised, batch: int) -> None:
        run = sample.run
        siblings = [other for other in self._samples if other.run is run]
        progress = Progress(
            lease=run.order.lease,
            stage="denoise",
            step=min(other.step for other in siblings),
            steps=sample.steps,
            batch=batch,
            remaining_s=sum(self._policy.seconds_left(self._candidate(other)) for other in siblings),
            spent=run.bill(),
        )
        now = self._clock.monotonic_ns()
        if run.watched and now - run.preview_ns >= PREVIEW_NS and sample.step < sample.steps:
            run.preview_ns = now
            try:
                picture = runner.preview(family, sample, result.clean)
            except (RuntimeError, ValueError, MemoryError):
                run.watched = False  # a preview is no reason to fail
            else:
                self._charge(run, "preview", self._clock.monotonic_ns() - now)
                self._audience.preview(run, progress, sample.index, picture)
                return
        self._audience.say(progress)

    def _settle_decoded(self, members: Sequence[Sample], pictures: Sequence[Picture]) -> None:
        for sample, picture in zip(members, pictures, strict=True):
            run = sample.run
            run.pictures_left -= 1
            self._samples.remove(sample)
            self._policy.drop(id(sample))
            self._audience.picture(run, sample.index, picture)
            if run.pictures_left == 0:
                self._keeper.forget(run)
                self._audience.complete(run)

    def _fail_all(self, ref: ModelRef, error: LaternaError) -> None:
        for run in {s.run for s in self._samples if s.run.order.model == ref}:
            self.fail(run, error.code, error.message)


def _adapted(sample: Sample, stage: str) -> int:
    """1 for a sample whose adapters act in the stage; none act in decoding."""
    return int(bool(sample.job.loras) and stage != "decode")


def _members(plan: StepPlan, samples: Iterable[Sample]) -> list[Sample]:
    by_id = {id(sample): sample for sample in samples}
    return [by_id[member] for member in plan.members if isinstance(member, int)]


def _code(error: Exception) -> str:
    return error.code if isinstance(error, LaternaError) else SampleFailed.code
