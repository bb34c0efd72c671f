"""Flow transformers with a CLIP and a T5 text encoder: FLUX.1 schnell and dev, and smaller ones of the same build."""
