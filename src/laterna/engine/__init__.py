"""The engine: executes the scheduler's plan, one device call after another. The only loop around a model."""
