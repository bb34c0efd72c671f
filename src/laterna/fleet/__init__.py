"""Starts, watches and replaces workers: local processes now, anything that carries the same messages later."""
