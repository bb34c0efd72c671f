"""Torch-free types that cross a boundary: endpoint inputs and outputs, what the engine is asked, worker messages."""
