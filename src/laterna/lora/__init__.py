"""Low-rank adapters (arXiv:2106.09685): read in every common layout, kept, and several applied within one batch."""
