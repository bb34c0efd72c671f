"""Latent diffusion with a UNet and CLIP text encoders: Stable Diffusion 1.5, 2.1 (noise or v-prediction) and XL."""
