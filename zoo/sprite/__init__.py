"""The recipe of `laterna/sprite`: data, latent basis, autoencoder, text-to-image transformer, export, contact sheet.

`python -m zoo.sprite` runs all of it from nothing; each stage resumes from what its folder holds.
"""
