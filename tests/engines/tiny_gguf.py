"""Write a model of two layers with random weights as GGUF, for llama.cpp: python tiny_gguf.py FILE.

Run by the Python of llama.cpp's own environment, which has the packages for it. A prompt `w1 w2 w3` is three tokens, as
for the other engines; that takes pieces of words for the tokenizer to put together.
"""

import sys

import gguf
import numpy as np

WIDTH, INNER, HEADS, LAYERS, CONTEXT = 128, 256, 4, 2, 8192
WORDS = 500


def main(path: str) -> None:
    """Write it."""
    pieces = _pieces()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(pieces))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece.encode() for piece, _ in pieces])
    writer.add_token_types([kind for _, kind in pieces])
    writer.add_token_scores([float(len(piece)) for piece, _ in pieces])  # the longest piece wins
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    for name, shape in _tensors(len(pieces)).items():
        flat = np.random.default_rng(0).normal(0, 0.02, shape).astype(np.float32)
        writer.add_tensor(name, np.ones(shape, np.float32) if "norm" in name else flat)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _pieces() -> list[tuple[str, gguf.TokenType]]:
    kinds = gguf.TokenType
    special = [("<unk>", kinds.UNKNOWN), ("<s>", kinds.CONTROL), ("</s>", kinds.CONTROL)]
    raw = [(f"<0x{value:02X}>", kinds.BYTE) for value in range(256)]
    parts = ["▁", "w", *"0123456789", "▁w", *(f"▁w{number}" for number in range(WORDS))]
    return [*special, *raw, *((part, kinds.NORMAL) for part in parts)]


def _tensors(vocabulary: int) -> dict[str, tuple[int, ...]]:
    square, wide, narrow = (WIDTH, WIDTH), (INNER, WIDTH), (WIDTH, INNER)
    layer = {f"attn_{part}": square for part in ("q", "k", "v", "output")}
    layer |= {"attn_norm": (WIDTH,), "ffn_norm": (WIDTH,), "ffn_gate": wide, "ffn_up": wide, "ffn_down": narrow}
    ends = {"token_embd": (vocabulary, WIDTH), "output": (vocabulary, WIDTH), "output_norm": (WIDTH,)}
    layers = {f"blk.{number}.{name}": shape for number in range(LAYERS) for name, shape in layer.items()}
    return {f"{name}.weight": shape for name, shape in (ends | layers).items()}


if __name__ == "__main__":
    main(sys.argv[1])
