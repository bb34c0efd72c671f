"""The rival to compare with: plain continuous batching, first come first served.

Whoever comes joins the next step, and the largest batch is the only limit. No classes, no shares, no shortest first, no
knee.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from laterna.scheduler.policy import LARGEST_BATCH, Candidate, Policy, StepPlan


class FirstCome(Policy):
    """Newcomers are encoded at once; then whoever is done is decoded; then everybody's next step, the oldest first."""

    def order(self) -> Iterator[Candidate]:
        return iter(sorted(self.candidates(), key=lambda one: one.created_us))

    def plan(self, blocked: Container[str] = frozenset()) -> StepPlan | None:
        for stage in ("encode", "decode", "denoise"):
            chosen = [one for one in self.order() if one.stage == stage]
            alike = [one for one in chosen if _alike(one, chosen[0])][:LARGEST_BATCH]
            if alike:
                return StepPlan(
                    model=alike[0].model,
                    stage=stage,
                    members=tuple(one.id for one in alike),
                    tokens=alike[0].tokens,
                    predicted_s=0.0,
                    reason="first come, first served",
                )
        return None


def _alike(one: Candidate, other: Candidate) -> bool:
    return (one.model, one.group) == (other.model, other.group)
