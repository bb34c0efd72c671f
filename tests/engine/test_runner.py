"""The runner: the call is the plan's, whatever shapes it holds."""

from __future__ import annotations

from tests.engine.toy import Heard, Toy, drain, engine, job, order


def test_shapes_that_a_family_takes_together_share_its_calls() -> None:
    toy, heard = Toy(), Heard()
    running = engine(toy, heard)
    for number, (width, height) in enumerate([(32, 32), (16, 64), (64, 32)]):
        running.submit(order(str(number), job(width=width, height=height, seed=number, sampler=Toy.samplers[number])))
    drain(running)
    assert toy.batches == [3] * 6
    shapes = {name: pictures[0].shape for name, pictures in heard.pictures.items()}
    assert shapes == {"0": (4, 4, 3), "1": (8, 2, 3), "2": (4, 8, 3)}
