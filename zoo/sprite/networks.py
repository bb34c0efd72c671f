"""The four networks that learn together: a Flux transformer and the two small text encoders that feed it.

Stock diffusers and transformers classes, so that the exported folder is an ordinary `FluxPipeline`.
"""

import torch
from diffusers import FluxTransformer2DModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from zoo.sprite import latents, words

SIDE = 4  # image tokens along a side of a 128 px picture


def transformer() -> FluxTransformer2DModel:
    """320 wide, one double and seven single blocks, 15 M numbers."""
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=latents.CHANNELS * 4,
        num_layers=1,
        num_single_layers=7,
        attention_head_dim=64,
        num_attention_heads=5,
        joint_attention_dim=256,
        pooled_projection_dim=128,
        guidance_embeds=False,
        axes_dims_rope=(8, 28, 28),
    )
    gates = ("norm1.linear.weight", "norm1_context.linear.weight", "norm.linear.weight", "proj_out.weight")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(gates):
                weight.mul_(0.1)  # blocks start near the identity
    return model


def sentence_encoder(tokens: int) -> T5EncoderModel:
    """T5: two layers, one vector of 256 a token."""
    return T5EncoderModel(
        T5Config(
            vocab_size=tokens,
            d_model=256,
            d_kv=64,
            d_ff=512,
            num_layers=2,
            num_heads=4,
            relative_attention_num_buckets=16,
            relative_attention_max_distance=16,
            dropout_rate=0.0,
            feed_forward_proj="relu",
            pad_token_id=words.PAD,
            eos_token_id=words.END,
            decoder_start_token_id=words.PAD,
            is_encoder_decoder=False,
            use_cache=False,
        )
    )


def caption_encoder(tokens: int) -> CLIPTextModel:
    """CLIP: one layer, one vector of 128 a caption, read at the end mark."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=tokens,
            hidden_size=128,
            intermediate_size=256,
            projection_dim=128,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=words.LENGTH,
            pad_token_id=words.PAD,
            bos_token_id=words.START,
            eos_token_id=words.END,
        )
    )


class Painter(nn.Module):
    """Caption of `known` words and noisy latents to velocity, called as Flux's pipeline calls the parts."""

    def __init__(self, known: list[str]) -> None:
        super().__init__()
        self.transformer = transformer()
        self.sentence = sentence_encoder(len(words.MARKS) + len(known))
        self.caption = caption_encoder(len(words.MARKS) + len(known))
        self.tokenizers = (words.tokenizer(known, clip=False), words.tokenizer(known, clip=True))
        rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
        places = torch.stack([torch.zeros_like(rows), rows, columns], -1).flatten(0, 1).float()
        self.register_buffer("places", places, persistent=False)

    def read(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token vectors (n, 16, 256) and caption vectors (n, 128)."""
        kinds = {"padding": "max_length", "max_length": words.LENGTH, "truncation": True, "return_tensors": "pt"}
        tokens, marked = (tokenizer(captions, **kinds).input_ids for tokenizer in self.tokenizers)
        return self.sentence(tokens)[0], self.caption(marked).pooler_output

    def forward(self, tokens: torch.Tensor, time: torch.Tensor, captions: list[str]) -> torch.Tensor:
        """Velocity, noise minus picture, for image tokens (n, 16, 160) at times (n,) in [0, 1], 1 being all noise."""
        return self.velocity(tokens, time, self.read(captions))

    def velocity(
        self, tokens: torch.Tensor, time: torch.Tensor, texts: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        """The same for captions that were read before."""
        sentence, caption = texts
        velocity: torch.Tensor = self.transformer(
            hidden_states=tokens,
            encoder_hidden_states=sentence,
            pooled_projections=caption,
            timestep=time,
            img_ids=self.places,
            txt_ids=torch.zeros(sentence.shape[1], 3),
            return_dict=False,
        )[0]
        return velocity
