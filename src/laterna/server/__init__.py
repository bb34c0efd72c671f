"""The composition root: builds the parts from settings and runs them."""
