"""A model small enough for any machine: a Llama of two layers without weights, and a tokenizer of one word a token.

Nothing is downloaded: the engine fills in random weights (`--load-format dummy`), and what it answers is nonsense that
takes as long as sense.
"""

import json
from pathlib import Path

VOCABULARY = 512  # words; a prompt `w1 w2 w3` is three tokens
CONTEXT = 4096  # tokens
_SPECIAL = ("<unk>", "<s>", "</s>")


def write(folder: Path) -> Path:
    """Write the model's files into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"config": _CONFIG, "tokenizer": _tokenizer(), "tokenizer_config": _TOKENIZER_CONFIG}.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1))
    return folder


_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "hidden_act": "silu",
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "vocab_size": VOCABULARY,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
}
_TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "model_max_length": CONTEXT,
}


def _tokenizer() -> dict[str, object]:
    words = [*_SPECIAL, *(f"w{number}" for number in range(VOCABULARY - len(_SPECIAL)))]
    special = [
        {"id": number, "content": word, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for number, word in enumerate(_SPECIAL)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {word: at for at, word in enumerate(words)}, "unk_token": "<unk>"},
    }
