"""The policy, in milliseconds: no torch, a manual clock and costs that were told."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from laterna.clock import ManualClock
from laterna.contracts.messages import Observation
from laterna.scheduler.cost import CostModel
from laterna.scheduler.policy import AGED_SECONDS, LARGEST_BATCH, Candidate, Policy, Shares, StepPlan, paying
from laterna.scheduler.shares import QUANTUM_SECONDS

CALL_SECONDS = 0.1


def candidate(name: str, **changes: Any) -> Candidate:
    given_ = {
        "id": name, "model": "m@1", "stage": "denoise", "group": (64, 64), "tokens": 16, "steps_left": 10,
        "tenant": "a", "priority": 1, "created_us": 1_700_000_000_000_000,
    }  # fmt: skip
    return Candidate(**{**given_, **changes})


def measured(gain: float) -> CostModel:
    """Costs of a device on which a further member of a batch costs `gain` of what it would cost alone."""
    costs = CostModel()
    for stage in ("encode", "denoise", "decode"):
        for model in ("m@1", "n@1"):
            for batch in range(1, LARGEST_BATCH + 1):
                seconds = CALL_SECONDS * (1 + gain * (batch - 1))
                seen = Observation(model=model, stage=stage, tokens=16, batch=batch, device_ns=round(seconds * 1e9))
                for _ in range(3):
                    costs.learn(seen)
    return costs


def policy(clock: ManualClock | None = None, shares: Shares | None = None, costs: CostModel | None = None) -> Policy:
    return Policy(clock or ManualClock(), costs or CostModel(), shares or Shares())


def planned(deciding: Policy, *given_: Candidate) -> StepPlan:
    for one in given_:
        deciding.put(one)
    plan = deciding.plan()
    assert plan is not None
    return plan


def test_nothing_to_do_is_no_plan() -> None:
    assert policy().plan() is None


def test_compatible_samples_share_the_call_whatever_their_steps() -> None:
    given_ = candidate("x", steps_left=3), candidate("y", steps_left=30), candidate("z", group=(32, 32))
    plan = planned(policy(costs=measured(0.1)), *given_)
    assert set(plan.members) == {"x", "y"}
    assert plan.stage == "denoise"


def test_other_tenants_company_slows_a_leader_no_more_than_its_share_does() -> None:
    flood = [candidate(f"f{n}", tenant="flood", steps_left=50) for n in range(15)]
    alone = planned(policy(costs=measured(0.1)), candidate("p", tenant="flood"), *flood)
    assert len(alone.members) > 11
    beside = planned(policy(costs=measured(0.1)), candidate("p", tenant="polite"), *flood)
    assert (beside.members[0], len(beside.members)) == ("p", 11), "a half of the device: a call of twice its own"
    third = planned(
        policy(costs=measured(0.5)), candidate("p", tenant="polite"), candidate("q", tenant="other"), *flood
    )
    assert len(third.members) <= 5


def test_urgent_classes_lead() -> None:
    assert planned(policy(), candidate("slow", priority=2), candidate("now", priority=0, group=1)).members == ("now",)


def test_the_tenant_that_had_less_leads_by_weight() -> None:
    shares = Shares({"big": 10.0})
    deciding = policy(shares=shares)
    for one in (candidate("s", tenant="small"), candidate("b", tenant="big", group="other")):
        deciding.put(one)
    deciding.charge("big", 50.0)
    deciding.charge("small", 6.0)
    plan = deciding.plan()
    assert plan is not None
    assert plan.members == ("b",)


def test_least_remaining_leads_inside_a_tenant() -> None:
    plan = planned(policy(), candidate("long", steps_left=50), candidate("short", steps_left=2, group="other"))
    assert plan.members == ("short",)


def test_among_equals_the_nearer_deadline_leads_then_the_older() -> None:
    now = 1_700_000_000_000_000
    three = (
        candidate("older", created_us=now - 5),
        candidate("later", finish_by_us=now + 9_000_000_000),
        candidate("sooner", finish_by_us=now + 8_000_000_000),
    )
    deciding = policy()
    for one in three:
        deciding.put(one)
    assert [c.id for c in deciding.order()] == ["sooner", "later", "older"]


def test_a_newcomer_is_encoded_while_the_batch_has_room() -> None:
    plan = planned(policy(costs=measured(0.1)), candidate("running", steps_left=1), candidate("new", stage="encode"))
    assert (plan.stage, plan.members) == ("encode", ("new",))


def test_a_full_batch_runs_before_newcomers() -> None:
    running = [candidate(f"r{n}", steps_left=1) for n in range(LARGEST_BATCH)]
    plan = planned(policy(costs=measured(0.1)), *running, candidate("new", stage="encode", steps_left=1))
    assert plan.stage == "denoise"
    assert len(plan.members) == LARGEST_BATCH


def test_decoding_never_blocks_denoising_for_two_calls_in_a_row() -> None:
    deciding, stages = policy(costs=measured(1.0)), []
    given_ = {f"d{n}": candidate(f"d{n}", stage="decode", steps_left=0) for n in range(5)} | {"x": candidate("x")}
    for one in given_.values():
        deciding.put(one)
    while (plan := deciding.plan()) is not None:
        stages.append(plan.stage)
        for member in plan.members:
            deciding.drop(member)
            after = _advance(given_.pop(str(member)))
            if after is not None and after.stage == "denoise":
                given_[str(member)] = after
                deciding.put(after)
    assert "decode decode" not in " ".join(stages[:10])
    assert stages.count("decode") == 5


def test_work_for_blocked_models_waits_and_nothing_is_begun() -> None:
    deciding = policy()
    deciding.put(candidate("x", model="n@1"))
    deciding.put(candidate("new", stage="encode"))
    assert deciding.plan({"n@1"}) is None
    deciding.put(candidate("running", steps_left=40))
    plan = deciding.plan({"n@1"})
    assert plan is not None
    assert plan.members == ("running",)


def test_company_that_would_cost_a_deadline_is_declined() -> None:
    clock = ManualClock()
    soon = clock.now_us() + round(1.5 * 1e6)
    deciding = policy(clock, costs=measured(0.5))
    urgent = candidate("urgent", finish_by_us=soon, steps_left=10)
    assert planned(deciding, urgent, *(candidate(f"o{n}", steps_left=10) for n in range(8))).members == ("urgent",)


def test_a_batch_grows_while_it_pays() -> None:
    flat, free = (lambda b: 1.0 * b), (lambda _b: 1.0)
    half, slow = (lambda b: 0.55 + 0.45 * b), (lambda b: 0.3 + 0.7 * b)
    assert paying(flat, 16 * [1.0], 1000) == 1
    assert paying(free, 16 * [1.0], 16) == LARGEST_BATCH
    assert paying(half, [1.0, 1.0], 2) == 2, "two that wait for each other win both"
    assert paying(slow, [1.0, 1.0], 2) == 1, "two share slowly: one after the other is better"
    assert paying(slow, 16 * [1.0], 200) > 1, "where much waits, throughput decides"
    assert paying(half, [8.0, 1.0], 9) == 1, "what is urgent is not delayed for what is not"
    assert paying(half, [8.0, 8.0, 1.0], 17) == 2


def test_samples_of_one_request_are_done_only_together() -> None:
    """Company of its own delays no request: what two strangers would not share, four siblings do."""
    slow = measured(0.8)
    siblings = [candidate(f"s{n}", request="r") for n in range(4)]
    assert len(planned(policy(costs=slow), *siblings).members) == 4
    assert len(planned(policy(costs=measured(1.0)), *siblings).members) == 4, "in step, as nothing is lost by it"
    strangers = [candidate(f"s{n}", request=n) for n in range(2)]
    assert len(planned(policy(costs=slow), *strangers).members) == 1


def test_what_a_tenant_gets_follows_its_weight_whatever_others_send() -> None:
    """A flood of one tenant delays another's steady requests by no more than its share says."""
    clock, costs = ManualClock(), measured(1.0)
    deciding = Policy(clock, costs, Shares({"polite": 1.0, "flood": 1.0}))
    left = {f"f{n}": candidate(f"f{n}", tenant="flood", steps_left=4, group=n) for n in range(300)}
    for one in left.values():
        deciding.put(one)
    alone = 10 * CALL_SECONDS + CALL_SECONDS
    for number in range(5):
        name = f"p{number}"
        left[name] = candidate(name, tenant="polite", group=name, created_us=clock.now_us())
        deciding.put(left[name])
        begun = clock.now_us()
        while name in left:
            _step(deciding, left, clock, costs)
        assert (clock.now_us() - begun) / 1e6 <= 2 * alone + CALL_SECONDS


def test_a_long_request_in_progress_yields_its_share() -> None:
    clock, costs = ManualClock(), measured(1.0)
    deciding = Policy(clock, costs, Shares())
    left = {"long": candidate("long", tenant="a", steps_left=10_000)}
    deciding.put(left["long"])
    for _ in range(5):
        _step(deciding, left, clock, costs)
    left["other"] = candidate("other", tenant="b", steps_left=400, group=2, created_us=clock.now_us())
    deciding.put(left["other"])
    begun = clock.now_us()
    while "other" in left:
        _step(deciding, left, clock, costs)
    assert (clock.now_us() - begun) / 1e6 <= 2 * 40.2 + 2 * QUANTUM_SECONDS


def test_who_was_away_has_no_credit_and_no_debt() -> None:
    shares = Shares()
    shares.arrive("a")
    for _ in range(10):
        shares.spend("a", 10.0)
    shares.arrive("b")
    assert shares.virtual("b") == shares.virtual("a") == 100.0
    shares.leave("b")
    shares.spend("a", 50.0)
    shares.leave("a")
    shares.arrive("b")
    shares.arrive("a")
    assert shares.virtual("b") == shares.virtual("a") == 150.0


def test_a_stored_virtual_time_is_taken_over_but_credit_is_not() -> None:
    shares = Shares()
    shares.set("a", 40.0)
    shares.arrive("a")
    shares.arrive("new")
    shares.set("new", 3.0)
    assert shares.virtual("new") == 40.0
    shares.set("new", 60.0)
    assert shares.virtual("new") == 60.0


def test_who_comes_stands_before_what_others_have_in_progress() -> None:
    shares = Shares()
    shares.arrive("a")
    assert not shares.spend("a", QUANTUM_SECONDS / 2)
    assert shares.arrive("b") == ["a"]
    assert shares.virtual("a") - shares.virtual("b") == QUANTUM_SECONDS / 2


def test_denoising_goes_between_only_where_its_tenant_had_no_more() -> None:
    def after_a_decode(tenant: str) -> StepPlan:
        deciding = policy()
        assert planned(deciding, candidate("done", tenant="polite", stage="decode", steps_left=0)).stage == "decode"
        deciding.put(candidate("waits", tenant=tenant, steps_left=30))
        deciding.put(candidate("comes", tenant="polite", stage="encode", group=None))
        deciding.charge("flood", 2 * QUANTUM_SECONDS)
        deciding.drop("done")
        return planned(deciding)

    assert after_a_decode("polite").members == ("waits",)
    assert after_a_decode("flood").members == ("comes",)


def test_low_and_long_work_is_not_starved_by_an_endless_stream() -> None:
    """Urgent and short work keeps the device full; what waits below it gets its tenth once it has waited long."""
    clock, costs = ManualClock(), measured(1.0)
    deciding = Policy(clock, costs, Shares())
    left = {"low": candidate("low", priority=2, steps_left=20, group="low", created_us=clock.now_us())}
    deciding.put(left["low"])
    for number in range(1000):
        if "low" not in left:
            break
        name = f"n{number}"
        left[name] = candidate(name, priority=0, steps_left=5, created_us=clock.now_us(), group=name)
        deciding.put(left[name])
        for _ in range(6):
            _step(deciding, left, clock, costs)
    assert "low" not in left
    waited = (clock.now_us() - 1_700_000_000_000_000) / 1e6
    assert AGED_SECONDS < waited < AGED_SECONDS + 30 * 21 * CALL_SECONDS


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
    plan = planned(policy(), *given_)
    by_id = {c.id: c for c in given_}
    members = [by_id[m] for m in plan.members]
    assert 1 <= len(members) == len(set(plan.members)) <= LARGEST_BATCH
    assert len({(m.model, m.stage, m.group) for m in members}) == 1


@given(candidates, st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.floats(0, 20)), max_size=10))
def test_the_order_is_whole_and_keeps_to_classes(given_: list[Candidate], spent: list[tuple[str, float]]) -> None:
    deciding = policy()
    for one in given_:
        deciding.put(one)
    for tenant, seconds in spent:
        deciding.charge(tenant, seconds)
    order = list(deciding.order())
    assert sorted(str(c.id) for c in order) == sorted(str(c.id) for c in given_)
    assert [c.priority for c in order] == sorted(c.priority for c in given_)
    for one in given_[::2]:
        deciding.drop(one.id)
    assert {c.id for c in deciding.order()} == {c.id for c in given_} - {c.id for c in given_[::2]}


@given(candidates)
def test_serving_by_plan_starves_nobody(given_: list[Candidate]) -> None:
    """Running what is planned again and again ends: every candidate gets through all its stages."""
    clock, costs = ManualClock(), CostModel()
    deciding = Policy(clock, costs, Shares())
    left = {str(c.id): c for c in given_}
    for one in given_:
        deciding.put(one)
    for _ in range(60 * len(given_) + 10):
        if not left:
            break
        _step(deciding, left, clock, costs)
    assert not left
    assert deciding.plan() is None


def _step(deciding: Policy, left: dict[str, Candidate], clock: ManualClock, costs: CostModel) -> None:
    """Carry out one plan on a simulated device."""
    plan = deciding.plan()
    assert plan is not None
    seconds = costs.call_seconds(plan.model, plan.stage, plan.tokens, len(plan.members))
    clock.advance(seconds)
    for member in plan.members:
        one = left.pop(str(member))
        deciding.charge(one.tenant, seconds / len(plan.members))
        after = _advance(one)
        if after is None:
            deciding.drop(member)
        else:
            left[str(member)] = after
            deciding.put(after)


def _advance(c: Candidate) -> Candidate | None:
    if c.stage == "encode":
        return dataclasses.replace(c, stage="denoise" if c.steps_left else "decode")
    if c.stage == "denoise" and c.steps_left > 1:
        return dataclasses.replace(c, steps_left=c.steps_left - 1)
    return dataclasses.replace(c, stage="decode", steps_left=0) if c.stage == "denoise" else None
