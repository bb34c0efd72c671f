"""The one policy and the learned cost model: torch-free, given a clock, used by dispatch and engine alike."""
