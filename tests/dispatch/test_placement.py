"""Who goes where: spread by work, to those that hold the model, only where it fits; and who makes room for whom."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from laterna.contracts.generation import ModelRef
from laterna.contracts.messages import VERSION, Lease, Ready
from laterna.dispatch.placement import LOAD_SECONDS, STICK_SECONDS, Demand, Placement, place
from laterna.dispatch.windows import WINDOW, Holding, Window


def ref(name: str, size: int = 100) -> ModelRef:
    return ModelRef(id=name, revision="1", family="blank", weights="builtin:none", resident_bytes=size)


def window(name: str, memory: int = 1000, resident: tuple[str, ...] = ("m@1",), widening: int = 1) -> Window:
    wide = {"blank": widening}
    device = Ready(version=VERSION, pid=1, device=name, device_name=name, memory_bytes=memory, widening=wide)
    return Window(worker=name, device=device, ready=True, resident=frozenset(resident))


def demand(name: str, seconds: float = 1.0, model: str = "m", size: int = 100, **changes: Any) -> Demand:
    given_: dict[str, Any] = {"tenant": "a", "priority": 1}
    return Demand(id=name, model=ref(model, size), seconds=lambda worker: seconds, **{**given_, **changes})


def hold(at: Window, name: str, **changes: Any) -> Holding:
    given_: dict[str, Any] = {"tenant": "a", "priority": 1, "model": "m@1", "created_us": 0, "left_s": 1.0}
    holding = Holding(lease=Lease(request_id=name, token=name), **{**given_, **changes})
    at.held[name] = holding
    return holding


def revoked(made: Placement) -> list[str]:
    return [holding.lease.request_id for _, holding in made.revoked]


def test_work_is_spread_over_workers_from_the_first_on() -> None:
    made = place([demand(str(n)) for n in range(10)], [window("a"), window("b")])
    assert {worker: len(ids) for worker, ids in made.given.items()} == {"a": 5, "b": 5}


def test_spread_is_by_seconds_not_by_number() -> None:
    made = place([demand("long", 8.0), *(demand(str(n)) for n in range(8))], [window("a"), window("b")])
    by_size = {worker: sorted(ids) for worker, ids in made.given.items()}
    assert sorted(len(ids) for ids in by_size.values()) in ([1, 8], [2, 7])


def test_a_worker_that_holds_the_model_is_preferred_as_long_as_a_load_would_take() -> None:
    cold, warm = window("cold", resident=()), window("warm")
    some = [demand(str(n)) for n in range(round(LOAD_SECONDS) + 4)]
    made = place(some, [cold, warm])
    assert made.given["warm"][:8] == [str(n) for n in range(8)]
    assert set(made.given) == {"cold", "warm"}


def test_a_model_goes_only_where_it_fits() -> None:
    small, large = window("small", memory=100), window("large", memory=400)
    made = place([demand(str(n), size=200) for n in range(6)], [small, large])
    assert set(made.given) == {"large"}
    wide = window("wide", memory=300, widening=2)
    assert place([demand("x", size=200)], [small, wide]).given == {}


def test_what_has_no_place_hides_nobody() -> None:
    small, large = window("small", memory=100), window("large", memory=400)
    for number in range(WINDOW):
        hold(large, f"h{number}", begun_ns=1)
    made = place([demand("big", size=200), demand("tiny", size=50)], [small, large])
    assert made.given == {"small": ["tiny"]}


def test_a_window_is_bounded_and_a_worker_that_is_not_ready_gets_nothing() -> None:
    down = window("down")
    down.ready = False
    made = place([demand(str(n)) for n in range(100)], [window("a"), down])
    assert {worker: len(ids) for worker, ids in made.given.items()} == {"a": WINDOW}


def test_urgent_work_takes_the_place_of_lesser_work_that_has_not_begun() -> None:
    full = window("a")
    hold(full, "low-begun", priority=2, begun_ns=1)
    hold(full, "low-loading", priority=2, touched=True)
    hold(full, "low-long", priority=2, left_s=9.0)
    hold(full, "low-short", priority=2, left_s=2.0)
    for number in range(WINDOW - 4):
        hold(full, f"n{number}")
    made = place([demand("now", priority=0), demand("normal", priority=1)], [full])
    assert revoked(made) == ["low-long", "low-short"]
    assert made.given == {"a": ["now", "normal"]}
    assert revoked(place([demand("low", priority=2)], [full])) == []


def test_urgent_work_comes_on_top_of_lesser_work_that_has_begun() -> None:
    full = window("a")
    for number in range(WINDOW):
        hold(full, f"low{number}", priority=2, touched=True)
    some = [demand(f"now{n}", priority=0) for n in range(WINDOW + 5)]
    made = place([*some, demand("low", priority=2)], [full])
    assert made.given == {"a": [one.id for one in some[:WINDOW]]}
    assert revoked(made) == []


def test_a_tenant_that_fills_the_window_makes_room_for_another_of_its_class() -> None:
    full = window("a")
    for number in range(WINDOW):
        hold(full, f"f{number}", tenant="flood")
    made = place([demand(f"p{n}", tenant="polite") for n in range(WINDOW)], [full])
    assert len(made.revoked) == len(made.given["a"]) == WINDOW // 2
    assert all(holding.tenant == "flood" for _, holding in made.revoked)


def test_a_tenant_that_has_begun_all_of_a_window_leaves_others_an_equal_part_on_top() -> None:
    full = window("a")
    for number in range(WINDOW):
        hold(full, f"f{number}", tenant="flood", touched=True)
    some = [demand(f"p{n}", tenant="polite") for n in range(WINDOW)]
    made = place([demand("more", tenant="flood"), *some], [full])
    assert made.given == {"a": [one.id for one in some[: WINDOW // 2]]}
    assert revoked(made) == []


def test_who_has_nothing_to_do_gets_what_others_have_not_begun() -> None:
    busy, idle = window("busy"), window("idle")
    hold(busy, "begun", begun_ns=1, left_s=5.0)
    for number in range(3):
        hold(busy, f"h{number}", left_s=4.0)
    assert place([], [busy, window("cold", resident=())]).revoked == [], "a load is not worth it"
    made = place([], [busy, idle])
    assert [(worker, held.left_s) for worker, held in made.revoked] == [("busy", 4.0)]
    back = made.revoked[0][1].lease
    del busy.held[back.token]
    assert place([demand(back.request_id, 4.0)], [busy, idle]).given == {"idle": [back.request_id]}
    hold(idle, "own", begun_ns=1)
    assert place([], [busy, idle]).revoked == []


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.floats(0.1, 20)), max_size=40),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.booleans()), max_size=WINDOW),
)
def test_places_are_never_taken_in_turns(
    waiting: list[tuple[str, int, float]], held: list[tuple[str, int, bool]]
) -> None:
    """What was revoked does not come back for what took its place; windows keep their bound; nobody is placed twice."""
    at = window("w")
    for number, (tenant, priority, begun) in enumerate(held):
        hold(at, f"h{number}", tenant=tenant, priority=priority, begun_ns=1 if begun else None)
    some = {f"d{n}": demand(f"d{n}", s, tenant=t, priority=p) for n, (t, p, s) in enumerate(waiting)}
    for _ in range(60):
        made = place(sorted(some.values(), key=lambda one: one.priority), [at])
        given_ = [id for ids in made.given.values() for id in ids]
        assert max(Counter(given_).values(), default=1) == 1
        for _, holding in made.revoked:
            del at.held[holding.lease.token]
            name = holding.lease.request_id
            some[name] = demand(name, holding.left_s, tenant=holding.tenant, priority=holding.priority)
        for id in given_:
            one = some.pop(id)
            hold(at, id, tenant=one.tenant, priority=one.priority)
        classes = Counter(holding.priority for holding in at.held.values())
        assert max(classes.values(), default=0) <= WINDOW
        if not given_:
            return
    raise AssertionError("places change hands for ever")


def test_a_hint_is_worth_some_waiting_and_no_more() -> None:
    stays = place([demand("x", prefers="b")], [window("a"), window("b")])
    assert stays.given == {"b": ["x"]}
    a, b = window("a"), window("b")
    hold(b, "before", left_s=STICK_SECONDS - 1, begun_ns=1)
    assert place([demand("x", prefers="b")], [a, b]).given == {"b": ["x"]}
    b.held["before"].left_s = STICK_SECONDS + 1
    assert place([demand("x", prefers="b")], [a, b]).given == {"a": ["x"]}
    assert place([demand("x", prefers="gone")], [a, b]).given == {"a": ["x"]}


def test_a_tenant_gets_no_more_places_than_it_has_room_for_and_nobody_waits_for_it() -> None:
    mixed = [demand(f"{tenant}{n}", tenant=tenant) for n in range(6) for tenant in ("a", "b")]
    made = place(mixed, [window("x"), window("y")], {"a": 2})
    given_ = Counter(name[0] for ids in made.given.values() for name in ids)
    assert given_ == {"a": 2, "b": 6}


def test_what_fits_nowhere_takes_no_room() -> None:
    some = [demand("huge", model="h", size=10**6, tenant="a"), demand("small", tenant="a")]
    assert place(some, [window("x")], {"a": 1}).given == {"x": ["small"]}
