"""The policy, in milliseconds: no torch, a manual clock and costs that were told."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from laterna.clock import ManualClock
from laterna.contracts.messages import Observation
from laterna.scheduler.cost import LARGEST_BATCH, CostModel
from laterna.scheduler.policy import AGEING_SECONDS, Candidate, Policy, Shares


def candidate(name: str, **changes: Any) -> Candidate:
    given_ = {
        "id": name, "model": "m@1", "stage": "denoise", "group": (64, 64), "tokens": 16, "steps_left": 10,
        "tenant": "a", "priority": 1, "created_us": 1_700_000_000_000_000,
    }  # fmt: skip
    return Candidate(**{**given_, **changes})


def policy(clock: ManualClock | None = None, shares: Shares | None = None) -> Policy:
    return Policy(clock or ManualClock(), CostModel(), shares or Shares())


def test_nothing_to_do_is_no_plan() -> None:
    assert policy().plan([]) is None


def test_compatible_samples_share_the_call_whatever_their_steps() -> None:
    plan = policy().plan([candidate("x", steps_left=3), candidate("y", steps_left=30), candidate("z", group=(32, 32))])
    assert plan is not None
    assert set(plan.members) == {"x", "y"}
    assert plan.stage == "denoise"


def test_urgent_classes_lead() -> None:
    plan = policy().plan([candidate("slow", priority=2), candidate("now", priority=0, group=(128, 128))])
    assert plan is not None
    assert plan.members == ("now",)


def test_low_work_ages_until_it_leads() -> None:
    clock = ManualClock()
    old = candidate("old", priority=2, group="old", created_us=clock.now_us())
    clock.advance(2 * AGEING_SECONDS)
    fresh = candidate("fresh", priority=1, created_us=clock.now_us(), steps_left=1)
    shares = Shares()
    plan = policy(clock, shares).plan([fresh, old])
    assert plan is not None
    assert plan.members == ("old",)


def test_the_tenant_that_had_less_leads_by_weight() -> None:
    shares = Shares({"big": 10.0})
    shares.spend("big", 50.0)
    shares.spend("small", 6.0)
    plan = policy(shares=shares).plan([candidate("s", tenant="small"), candidate("b", tenant="big", group="other")])
    assert plan is not None
    assert plan.members == ("b",)


def test_least_remaining_leads_inside_a_tenant() -> None:
    plan = policy().plan([candidate("long", steps_left=50), candidate("short", steps_left=2, group="other")])
    assert plan is not None
    assert plan.members == ("short",)


def test_a_newcomer_is_encoded_while_the_batch_has_room() -> None:
    plan = policy().plan([candidate("running", steps_left=1), candidate("new", stage="encode")])
    assert plan is not None
    assert (plan.stage, plan.members) == ("encode", ("new",))


def test_a_full_batch_runs_before_newcomers() -> None:
    running = [candidate(f"r{n}", steps_left=1) for n in range(LARGEST_BATCH)]
    plan = policy().plan([*running, candidate("new", stage="encode")])
    assert plan is not None
    assert plan.stage == "denoise"
    assert len(plan.members) == LARGEST_BATCH


candidates = st.lists(
    st.builds(
        candidate,
        name=st.uuids().map(str),
        model=st.sampled_from(["m@1", "n@1"]),
        stage=st.sampled_from(["encode", "denoise", "decode"]),
        group=st.sampled_from([(64, 64), (32, 32)]),
        steps_left=st.integers(0, 50),
        tenant=st.sampled_from(["a", "b", "c"]),
        priority=st.integers(0, 2),
    ),
    min_size=1,
    max_size=40,
)


@given(candidates)
def test_a_plan_holds_only_compatible_candidates_once_each(given_: list[Candidate]) -> None:
    plan = policy().plan(given_)
    assert plan is not None
    by_id = {c.id: c for c in given_}
    members = [by_id[m] for m in plan.members]
    assert 1 <= len(members) == len(set(plan.members)) <= LARGEST_BATCH
    assert len({(m.model, m.stage, m.group) for m in members}) == 1


@given(candidates)
def test_serving_by_plan_starves_nobody(given_: list[Candidate]) -> None:
    """Running what is planned again and again ends: every candidate gets through all its stages."""
    clock = ManualClock()
    deciding = policy(clock)
    waiting = {c.id: c for c in given_}
    for _ in range(60 * len(given_) + 10):
        plan = deciding.plan(list(waiting.values()))
        if plan is None:
            break
        for member in plan.members:
            after = _advance(waiting.pop(member))
            if after is not None:
                waiting[member] = after
        clock.advance(0.1)
    assert not waiting


def _advance(c: Candidate) -> Candidate | None:
    import dataclasses

    if c.stage == "encode":
        return dataclasses.replace(c, stage="denoise" if c.steps_left else "decode")
    if c.stage == "denoise" and c.steps_left > 1:
        return dataclasses.replace(c, steps_left=c.steps_left - 1)
    return dataclasses.replace(c, stage="decode", steps_left=0) if c.stage == "denoise" else None


def observed(batch: int, seconds: float, tokens: int = 16) -> Observation:
    return Observation(model="m@1", stage="denoise", tokens=tokens, batch=batch, device_ns=round(seconds * 1e9))


def test_costs_are_learned_and_one_outlier_is_bounded() -> None:
    costs = CostModel()
    for _ in range(50):
        costs.learn(observed(1, 0.1))
    costs.learn(observed(1, 100.0))
    assert abs(costs.call_seconds("m@1", "denoise", 16, 1) - 0.1) < 0.05


def test_unknown_batches_are_predicted_from_the_nearest_known() -> None:
    costs = CostModel()
    costs.learn(observed(2, 0.2))
    assert abs(costs.call_seconds("m@1", "denoise", 16, 4) - 0.4) < 1e-9


def test_the_knee_is_the_smallest_batch_that_is_as_cheap_as_the_best() -> None:
    costs = CostModel()
    for batch, seconds in ((1, 0.1), (2, 0.11), (4, 0.2), (8, 0.45)):
        for _ in range(5):
            costs.learn(observed(batch, seconds))
    assert costs.knee("m@1", "denoise", 16) == 4
    assert costs.knee("m@1", "denoise", 999) == LARGEST_BATCH


def test_costs_survive_a_restart_and_a_torn_file(tmp_path: Any) -> None:
    costs = CostModel()
    costs.learn(observed(3, 0.3))
    costs.save(tmp_path / "costs.json")
    assert CostModel.load(tmp_path / "costs.json").call_seconds("m@1", "denoise", 16, 3) == 0.3
    (tmp_path / "costs.json").write_text("[[1,")
    assert not CostModel.load(tmp_path / "costs.json").knows("m@1")
