"""Laterna: a self-hosted platform for generative media behind one durable queue."""

__version__ = "0.1.0"
