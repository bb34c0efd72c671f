"""What was done for a run, in a few lines: calls of one stage, one after another, with as many samples each, are one
span. Where there are too many, neighbours are put together; the seconds still add up to the calls' own.
"""

from __future__ import annotations

from itertools import pairwise

from laterna.contracts.messages import Span

MOST = 64  # spans, but for stages that take turns


class Timeline:
    """Grows with the run's calls."""

    def __init__(self) -> None:
        self._spans: list[Span] = []

    def add(self, stage: str, start_ns: int, device_ns: int, batch: int) -> None:
        """Note a call: when it began, counted from the run's beginning, how long it took, with how many samples."""
        call = Span(
            stage=stage,
            start_ns=start_ns,
            end_ns=start_ns + device_ns,
            device_ns=device_ns,
            calls=1,
            smallest=batch,
            largest=batch,
        )
        last = self._spans[-1] if self._spans else None
        if last is not None and (last.stage, last.smallest, last.largest) == (stage, batch, batch):
            self._spans[-1] = _together(last, call)
            return
        self._spans.append(call)
        if len(self._spans) > MOST:
            self._coarsen()

    def spans(self) -> list[Span]:
        return list(self._spans)

    def _coarsen(self) -> None:
        """Put the shortest two neighbours of one stage together."""
        near = [(a.device_ns + b.device_ns, n) for n, (a, b) in enumerate(pairwise(self._spans)) if a.stage == b.stage]
        if near:
            _, at = min(near)
            self._spans[at : at + 2] = [_together(self._spans[at], self._spans[at + 1])]


def _together(first: Span, second: Span) -> Span:
    return Span(
        stage=first.stage,
        start_ns=first.start_ns,
        end_ns=second.end_ns,
        device_ns=first.device_ns + second.device_ns,
        calls=first.calls + second.calls,
        smallest=min(first.smallest, second.smallest),
        largest=max(first.largest, second.largest),
    )
