"""What a job amounts to, known before it runs: what prices count. In whole millionths, so that no price is a guess.

A kind of job that has none of something counts 0 of it: a picture lasts no time.
"""

from __future__ import annotations

from laterna.contracts.generation import Generation

MILLION = 1_000_000


def images(job: Generation) -> int:
    """Millionths of a picture."""
    return job.count * MILLION


def pixels(job: Generation) -> int:
    """Millionths of a megapixel: pixels, of all pictures together."""
    return job.count * job.width * job.height


def lasting(job: Generation) -> int:
    """Microseconds of video or sound that it makes: none, as long as there are but pictures."""
    return 0


def characters(job: Generation) -> int:
    """Millionths of a character that was written, as people count them: code points."""
    return len(job.prompt) * MILLION


def pixel_steps(job: Generation) -> int:
    """Millionths of a megapixel denoised once: guidance, which computes both halves, doubles it."""
    return pixels(job) * job.steps * (2 if job.cfg_scale > 1 else 1)
