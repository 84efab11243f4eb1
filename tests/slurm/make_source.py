"""make_source.py DIR: a small LLaMA-shaped Hugging Face directory with random float32 weights, written without any library."""

import array
import json
import pathlib
import random
import struct
import sys

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, LAYERS, VOCABULARY = 64, 4, 2, 16, 128, 2, 97

shapes = {"model.embed_tokens.weight": [VOCABULARY, HIDDEN], "model.norm.weight": [HIDDEN], "lm_head.weight": [VOCABULARY, HIDDEN]}
for layer in range(LAYERS):
    shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in {
        "self_attn.q_proj": [HEADS * HEAD_DIM, HIDDEN],
        "self_attn.k_proj": [KV_HEADS * HEAD_DIM, HIDDEN],
        "self_attn.v_proj": [KV_HEADS * HEAD_DIM, HIDDEN],
        "self_attn.o_proj": [HIDDEN, HEADS * HEAD_DIM],
        "mlp.gate_proj": [FFN, HIDDEN],
        "mlp.up_proj": [FFN, HIDDEN],
        "mlp.down_proj": [HIDDEN, FFN],
        "input_layernorm": [HIDDEN],
        "post_attention_layernorm": [HIDDEN],
    }.items()}

generator = random.Random(1)
header, data = {"__metadata__": {"format": "pt"}}, b""
for name, shape in sorted(shapes.items()):
    count = shape[0] * (shape[1] if len(shape) == 2 else 1)
    mean = 1.0 if "norm" in name else 0.0
    values = array.array("f", (generator.gauss(mean, 0.1) for _ in range(count))).tobytes()
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
    data += values
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)

folder = pathlib.Path(sys.argv[1])
folder.mkdir()
(folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
(folder / "config.json").write_text(json.dumps({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": FFN,
    "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "num_hidden_layers": LAYERS,
    "vocab_size": VOCABULARY, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "float32"}, indent=1))
