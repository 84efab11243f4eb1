"""Small Hugging Face directories with random weights, written with the standard library alone, so that tests can damage any byte."""
import array
import json
import math
import pathlib
import random
import struct

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 4, "num_hidden_layers": 2, "vocab_size": 11, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
}
BERT = {
    "architectures": ["BertModel"], "model_type": "bert", "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4,
    "num_hidden_layers": 1, "vocab_size": 11, "max_position_embeddings": 8, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
}


def llama_shapes(config):
    width, ffn, dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    heads, kv_heads = config["num_attention_heads"] * dim, config["num_key_value_heads"] * dim
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], width], "model.norm.weight": [width],
              "lm_head.weight": [config["vocab_size"], width]}
    for layer in range(config["num_hidden_layers"]):
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in {
            "self_attn.q_proj": [heads, width], "self_attn.k_proj": [kv_heads, width], "self_attn.v_proj": [kv_heads, width],
            "self_attn.o_proj": [width, heads], "mlp.gate_proj": [ffn, width], "mlp.up_proj": [ffn, width],
            "mlp.down_proj": [width, ffn], "input_layernorm": [width], "post_attention_layernorm": [width]}.items()}
    return shapes


def bert_shapes(config):
    width, ffn = config["hidden_size"], config["intermediate_size"]
    shapes = {"embeddings.word_embeddings.weight": [config["vocab_size"], width],
              "embeddings.position_embeddings.weight": [config["max_position_embeddings"], width],
              "embeddings.token_type_embeddings.weight": [config["type_vocab_size"], width]}
    norms = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"encoder.layer.{layer}."
        for name, shape in {"attention.self.query": [width, width], "attention.self.key": [width, width],
                            "attention.self.value": [width, width], "attention.output.dense": [width, width],
                            "intermediate.dense": [ffn, width], "output.dense": [width, ffn]}.items():
            shapes |= {f"{prefix}{name}.weight": shape, f"{prefix}{name}.bias": shape[:1]}
        norms += [prefix + "attention.output.LayerNorm", prefix + "output.LayerNorm"]
    for norm in norms:
        shapes |= {f"{norm}.weight": [width], f"{norm}.bias": [width]}
    return shapes


def random_tensors(shapes, seed=1):
    """name -> (dtype, shape, bytes), float32, in order of name."""
    generator = random.Random(seed)
    tensors = {}
    for name, shape in sorted(shapes.items()):
        mean = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
        values = array.array("f", (generator.gauss(mean, 0.1) for _ in range(math.prod(shape))))
        tensors[name] = ("F32", shape, values.tobytes())
    return tensors


def layout(tensors):
    """The header entries of tensors stored one after the other."""
    entries, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    return entries


def safetensors(header, data):
    """A file's bytes. `header` is a dictionary, or the text itself where it must be one that no encoder writes."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def write_weights(path, tensors):
    path.write_bytes(safetensors(layout(tensors), b"".join(data for _, _, data in tensors.values())))


def write_model(folder, config, tensors):
    folder = pathlib.Path(folder)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    write_weights(folder / "model.safetensors", tensors)
    return folder


def write_sharded(folder, config, tensors, shards=2):
    """The same in several files with an index, which is returned."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    names, index = list(tensors), {}
    for k in range(shards):
        file = f"model-{k + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[k::shards]}
        write_weights(folder / file, part)
        index |= {name: file for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return index
