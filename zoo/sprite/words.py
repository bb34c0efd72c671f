"""Whole-word tokenizers, one per text encoder, in the layouts that Flux's pipeline expects.

Lower case, words and punctuation split, unknown words one token. T5's adds an end mark, CLIP's a start and an end mark.
"""

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

LENGTH = 16  # tokens of a caption, padding included
PAD, UNKNOWN, START, END = 0, 1, 2, 3
MARKS = ["<pad>", "<unk>", "<s>", "</s>"]


def tokenizer(known: list[str], *, clip: bool) -> PreTrainedTokenizerFast:
    """The tokenizer of the CLIP encoder, or of the T5 encoder, for the `known` words, numbered after the four marks."""
    numbers = {token: number for number, token in enumerate([*MARKS, *known])}
    core = Tokenizer(models.WordLevel(numbers, unk_token=MARKS[UNKNOWN]))
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    template = "<s> $A </s>" if clip else "$A </s>"
    core.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("<s>", START), ("</s>", END)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=LENGTH,
        padding_side="right",
        pad_token=MARKS[PAD],
        unk_token=MARKS[UNKNOWN],
        bos_token=MARKS[START],
        eos_token=MARKS[END],
    )
