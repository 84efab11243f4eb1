"""Forward passes of models that transformers does not have: timm's names, BERT with norms first, residual networks."""

import json

import torch
import torch.nn.functional as F
import transformers as tf
from safetensors.torch import save_file

from forward_peers import make, max_relative, run_orchard, run_peer, save

TOLERANCE = 1e-10
IMAGE = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4, image_size=12, patch_size=4,
             layer_norm_eps=1e-6, num_labels=7)
IMAGES = {"images": torch.randn(2, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(4))}


def write(directory, config, tensors):
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
    save_file({name: value.contiguous() for name, value in tensors.items()}, directory / "model.safetensors")
    return directory


def timm_tensors(model, prefix):
    """The tensors of a ViT-like model of transformers under timm's names."""
    state = model.state_dict()
    own = {name.removeprefix(prefix + "."): value for name, value in state.items()}
    pick = lambda *names: next(own[name] for name in names if name in own)
    out = {"cls_token": own["embeddings.cls_token"], "pos_embed": own["embeddings.position_embeddings"],
           "patch_embed.proj.weight": own["embeddings.patch_embeddings.projection.weight"],
           "patch_embed.proj.bias": own["embeddings.patch_embeddings.projection.bias"],
           "norm.weight": own["layernorm.weight"], "norm.bias": own["layernorm.bias"]}
    if "embeddings.distillation_token" in own:
        out["dist_token"] = own["embeddings.distillation_token"]
    for i in range(model.config.num_hidden_layers):
        at = f"layers.{i}." if f"layers.{i}.mlp.fc1.weight" in own else f"encoder.layer.{i}."
        for part in ("weight", "bias"):
            out[f"blocks.{i}.attn.qkv.{part}"] = torch.cat([own[f"{at}attention.{x}_proj.{part}"] for x in "qkv"])
            out[f"blocks.{i}.attn.proj.{part}"] = own[f"{at}attention.o_proj.{part}"]
            out[f"blocks.{i}.norm1.{part}"] = pick(f"{at}layernorm_before.{part}", f"{at}norm1.{part}")
            out[f"blocks.{i}.norm2.{part}"] = pick(f"{at}layernorm_after.{part}", f"{at}norm2.{part}")
            out[f"blocks.{i}.mlp.fc1.{part}"] = own[f"{at}mlp.fc1.{part}"]
            out[f"blocks.{i}.mlp.fc2.{part}"] = own[f"{at}mlp.fc2.{part}"]
        for scale in (1, 2):
            if f"{at}layer_scale{scale}.lambda1" in own:
                out[f"blocks.{i}.ls{scale}.gamma"] = own[f"{at}layer_scale{scale}.lambda1"]
    return out


def timm_config(name, **more):
    return dict(architecture=name, num_heads=4, **more)


def test_timm_vit(tmp_path):
    model = make(tf.ViTConfig(**IMAGE), "ViTForImageClassification")
    theirs = run_peer(model, IMAGES)
    tensors = timm_tensors(model, "vit") | {"head.weight": model.classifier.weight, "head.bias": model.classifier.bias}
    ours = run_orchard(write(tmp_path / "m", timm_config("vit_tiny_patch4_12"), tensors), IMAGES, tmp_path)
    assert max_relative(ours["class_logits"], theirs.logits) < TOLERANCE
    assert max_relative(ours["layerwise.class_logits"], theirs.logits) < TOLERANCE


def test_timm_vit_that_averages_patches(tmp_path):
    model = make(tf.ViTConfig(**IMAGE), "ViTForImageClassification")
    theirs = run_peer(model, IMAGES)
    with torch.no_grad():
        mean = theirs.hidden_states[-1][:, 1:].mean(1)
        expected = model.classifier(model.vit.layernorm(mean))
    tensors = timm_tensors(model, "vit") | {"head.weight": model.classifier.weight, "head.bias": model.classifier.bias}
    tensors = {name.replace("norm.", "fc_norm.") if name.startswith("norm.") else name: value for name, value in tensors.items()}
    ours = run_orchard(write(tmp_path / "m", timm_config("vit_tiny_patch4_12"), tensors), IMAGES, tmp_path)
    assert max_relative(ours["class_logits"], expected) < TOLERANCE


def test_timm_deit_with_two_heads(tmp_path):
    model = make(tf.DeiTConfig(**IMAGE), "DeiTForImageClassificationWithTeacher")
    theirs = run_peer(model, IMAGES)
    tensors = timm_tensors(model, "deit") | {
        "head.weight": model.cls_classifier.weight, "head.bias": model.cls_classifier.bias,
        "head_dist.weight": model.distillation_classifier.weight, "head_dist.bias": model.distillation_classifier.bias}
    ours = run_orchard(write(tmp_path / "m", timm_config("deit_tiny_distilled"), tensors), IMAGES, tmp_path)
    assert max_relative(ours["class_logits"], theirs.logits) < TOLERANCE


def test_timm_layer_scale(tmp_path):
    model = make(tf.Dinov2Config(**IMAGE, mlp_ratio=2, use_mask_token=False), "Dinov2Model")
    theirs = run_peer(model, IMAGES)
    ours = run_orchard(write(tmp_path / "m", timm_config("vit_small"), timm_tensors(model, "dinov2")), IMAGES, tmp_path)
    assert max_relative(ours["hidden"], theirs.last_hidden_state) < TOLERANCE


def test_hugging_face_names_of_older_releases(tmp_path):
    """transformers 5 writes the names of version 4; a model with the names that it uses inside is refused, not misread."""
    model = make(tf.ViTConfig(**IMAGE), "ViTForImageClassification")
    save(model, tmp_path / "m")
    ours = run_orchard(tmp_path / "m", IMAGES, tmp_path)
    assert max_relative(ours["class_logits"], run_peer(model, IMAGES).logits) < TOLERANCE


def test_bert_with_norms_first(tmp_path):
    size, ffn, heads, layers, vocabulary, length, epsilon = 24, 40, 4, 3, 61, 11, 2e-3
    generator = torch.Generator().manual_seed(0)
    random = lambda *shape: 0.3 * torch.randn(*shape, generator=generator, dtype=torch.float64)
    w = {"embeddings.word_embeddings.weight": random(vocabulary, size), "embeddings.position_embeddings.weight": random(32, size),
         "embeddings.token_type_embeddings.weight": random(2, size), "encoder.ln_f.weight": 1 + random(size),
         "encoder.ln_f.bias": random(size)}
    for i in range(layers):
        at = f"encoder.layer.{i}."
        for name, rows, columns in (("attention.self.query", size, size), ("attention.self.key", size, size),
                                    ("attention.self.value", size, size), ("attention.output.dense", size, size),
                                    ("intermediate.dense", ffn, size), ("output.dense", size, ffn)):
            w[at + name + ".weight"], w[at + name + ".bias"] = random(rows, columns), random(rows)
        for name in ("attention.LayerNorm", "intermediate.LayerNorm"):
            w[at + name + ".weight"], w[at + name + ".bias"] = 1 + random(size), random(size)
    bias = random(vocabulary)
    tokens = torch.randint(0, vocabulary, (2, length), generator=generator)
    types = torch.randint(0, 2, (2, length), generator=generator)

    norm = lambda x, name: F.layer_norm(x, (size,), w[name + ".weight"], w[name + ".bias"], epsilon)
    linear = lambda x, name: x @ w[name + ".weight"].T + w[name + ".bias"]
    split = lambda x: x.view(2, length, heads, size // heads).transpose(1, 2)
    x = (w["embeddings.word_embeddings.weight"][tokens] + w["embeddings.position_embeddings.weight"][:length]
         + w["embeddings.token_type_embeddings.weight"][types])
    for i in range(layers):
        at = f"encoder.layer.{i}."
        y = norm(x, at + "attention.LayerNorm")
        q, k, v = (split(linear(y, at + f"attention.self.{name}")) for name in ("query", "key", "value"))
        mixed = torch.softmax(q @ k.transpose(-1, -2) / (size // heads) ** 0.5, -1) @ v
        x = x + linear(mixed.transpose(1, 2).reshape(2, length, size), at + "attention.output.dense")
        y = norm(x, at + "intermediate.LayerNorm")
        x = x + linear(F.gelu(linear(y, at + "intermediate.dense")), at + "output.dense")
    expected = norm(x, "encoder.ln_f") @ w["embeddings.word_embeddings.weight"].T + bias

    tensors = {"bert." + name: value for name, value in w.items()} | {"cls.predictions.bias": bias}
    config = dict(model_type="bert_preln", vocab_size=vocabulary, hidden_size=size, intermediate_size=ffn, num_hidden_layers=layers,
                  num_attention_heads=heads, max_position_embeddings=32, layer_norm_eps=epsilon)
    ours = run_orchard(write(tmp_path / "m", config, tensors), {"tokens": tokens, "types": types}, tmp_path)
    assert max_relative(ours["token_logits"], expected) < TOLERANCE


class ResidualNetwork:
    """Residual networks in functional PyTorch, after the description in torchvision's documentation."""

    def __init__(self, bottleneck, blocks, stem, inner, classes, seed=0):
        self.generator = torch.Generator().manual_seed(seed)
        self.w, self.bottleneck, self.blocks = {}, bottleneck, blocks
        self.conv("conv1", stem, 3, 7)
        self.norm("bn1", stem)
        last = stem
        for s, count in enumerate(blocks):
            width = (inner if bottleneck else stem) << s
            out = (stem << s) * (4 if bottleneck else 1)
            for b in range(count):
                at = f"layer{s + 1}.{b}."
                sizes = [(width, last, 1), (width, width, 3), (out, width, 1)] if bottleneck else [(out, last, 3), (out, out, 3)]
                for i, size in enumerate(sizes):
                    self.conv(f"{at}conv{i + 1}", *size)
                    self.norm(f"{at}bn{i + 1}", size[0])
                if b == 0 and (s > 0 or last != out):
                    self.conv(f"{at}downsample.0", out, last, 1)
                    self.norm(f"{at}downsample.1", out)
                last = out
        self.w["fc.weight"], self.w["fc.bias"] = self.random(classes, last), self.random(classes)

    def random(self, *shape):
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def conv(self, name, out, into, kernel):
        self.w[name + ".weight"] = self.random(out, into, kernel, kernel) * (2 / (out * kernel * kernel)) ** 0.5

    def norm(self, name, channels):
        self.w[name + ".weight"], self.w[name + ".bias"] = 1 + 0.3 * self.random(channels), 0.3 * self.random(channels)
        self.w[name + ".running_mean"] = 0.3 * self.random(channels)
        self.w[name + ".running_var"] = 1 + 0.3 * self.random(channels).abs()
        self.w[name + ".num_batches_tracked"] = torch.tensor(3)

    def apply_norm(self, x, name, training):
        w = self.w
        if training:
            w[name + ".num_batches_tracked"] += 1
        return F.batch_norm(x, w[name + ".running_mean"], w[name + ".running_var"], w[name + ".weight"], w[name + ".bias"], training)

    def __call__(self, x, training=False):
        x = F.conv2d(x, self.w["conv1.weight"], stride=2, padding=3)
        x = F.max_pool2d(F.relu(self.apply_norm(x, "bn1", training)), 3, 2, 1)
        for s, count in enumerate(self.blocks):
            for b in range(count):
                at, stride = f"layer{s + 1}.{b}.", 2 if s > 0 and b == 0 else 1
                y = x
                for i in range(3 if self.bottleneck else 2):
                    kernel = self.w[f"{at}conv{i + 1}.weight"]
                    strides = i == (1 if self.bottleneck else 0)  # version 1.5
                    y = F.conv2d(y if i == 0 else F.relu(y), kernel, stride=stride if strides else 1, padding=kernel.shape[-1] // 2)
                    y = self.apply_norm(y, f"{at}bn{i + 1}", training)
                if at + "downsample.0.weight" in self.w:
                    x = self.apply_norm(F.conv2d(x, self.w[at + "downsample.0.weight"], stride=stride), at + "downsample.1", training)
                x = F.relu(x + y)
        return F.linear(x.mean((2, 3)), self.w["fc.weight"], self.w["fc.bias"])


def compare_residual_network(network, tmp_path, training):
    images = {"images": torch.randn(3, 3, 64, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(9))}
    directory = write(tmp_path / "m", {"architecture": "resnet"}, network.w)
    ours = run_orchard(directory, images, tmp_path, "resnet-train" if training else "resnet")
    assert max_relative(ours["class_logits"], network(images["images"], training)) < TOLERANCE
    if training:
        for name, value in network.w.items():
            assert torch.allclose(ours[name].double(), value.double(), rtol=1e-12, atol=1e-12), name


def test_basic_residual_network(tmp_path):
    compare_residual_network(ResidualNetwork(False, [2, 1, 2, 1], 8, 8, 5), tmp_path, False)


def test_wide_bottleneck_residual_network(tmp_path):
    compare_residual_network(ResidualNetwork(True, [2, 1, 2, 1], 8, 16, 5), tmp_path, False)


def test_residual_network_in_training(tmp_path):
    compare_residual_network(ResidualNetwork(True, [1, 2, 1, 1], 8, 8, 5), tmp_path, True)
