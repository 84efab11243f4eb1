"""Forward passes against transformers in float64: one small model per architecture, with settings that differ from the defaults."""

import pytest
import torch
import transformers as tf

from forward_peers import make, max_relative, run_orchard, run_peer, save

TOLERANCE = 1e-10  # of the largest logit
LENGTH, VOCABULARY = 13, 61


def tokens(seed=1, length=LENGTH):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, (2, length), generator=generator)


def padded():
    """Tokens whose second sequence ends in three padding tokens (id 1)."""
    ids, mask = tokens(), torch.ones(2, LENGTH, dtype=torch.long)
    ids[1, -3:], mask[1, -3:] = 1, 0
    return {"tokens": ids, "attention_mask": mask}


# Sizes of a gated decoder: grouped queries, a head width of its own, an odd epsilon.
DECODER = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=6,
               num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=3e-3, pad_token_id=1, bos_token_id=0, eos_token_id=2)
LLAMA3 = dict(rope_type="llama3", rope_theta=500.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
ENCODER = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
               max_position_embeddings=32, layer_norm_eps=2e-3, pad_token_id=1)

DECODERS = {
    "llama": (tf.LlamaConfig, "LlamaForCausalLM", dict(DECODER, attention_bias=True, mlp_bias=True, head_dim=10)),
    "llama_tied_llama3_rope": (tf.LlamaConfig, "LlamaForCausalLM", dict(DECODER, tie_word_embeddings=True, rope_parameters=LLAMA3)),
    "llama_linear_rope": (tf.LlamaConfig, "LlamaForCausalLM", dict(DECODER, rope_parameters=dict(
        rope_type="linear", rope_theta=1e3, factor=2.5))),
    "mistral_window": (tf.MistralConfig, "MistralForCausalLM", dict(DECODER, sliding_window=5, head_dim=8)),
    "mistral_no_window": (tf.MistralConfig, "MistralForCausalLM", dict(DECODER, sliding_window=None)),
    "qwen2_some_windows": (tf.Qwen2Config, "Qwen2ForCausalLM", dict(
        DECODER, use_sliding_window=True, sliding_window=4, max_window_layers=1)),
    "qwen2_window_unused": (tf.Qwen2Config, "Qwen2ForCausalLM", dict(DECODER, use_sliding_window=False, sliding_window=4)),
    "qwen3": (tf.Qwen3Config, "Qwen3ForCausalLM", dict(DECODER, head_dim=10, attention_bias=True)),
    "qwen3_layer_types": (tf.Qwen3Config, "Qwen3ForCausalLM", dict(
        DECODER, head_dim=8, use_sliding_window=True, sliding_window=3,
        layer_types=["full_attention", "sliding_attention", "full_attention"])),
    "gemma": (tf.GemmaConfig, "GemmaForCausalLM", dict(DECODER, head_dim=8)),
    "gemma2": (tf.Gemma2Config, "Gemma2ForCausalLM", dict(
        DECODER, head_dim=8, sliding_window=4, query_pre_attn_scalar=20, attn_logit_softcapping=3.0, final_logit_softcapping=7.0)),
    "gemma2_uncapped": (tf.Gemma2Config, "Gemma2ForCausalLM", dict(
        DECODER, head_dim=8, attn_logit_softcapping=None, final_logit_softcapping=None)),
    "phi3": (tf.Phi3Config, "Phi3ForCausalLM", dict(DECODER)),
    "phi3_partial_rope_window": (tf.Phi3Config, "Phi3ForCausalLM", dict(
        DECODER, hidden_size=48, sliding_window=6, rope_parameters=dict(
            rope_type="default", rope_theta=300.0, partial_rotary_factor=0.75))),
    "olmo2": (tf.Olmo2Config, "Olmo2ForCausalLM", dict(DECODER)),
    "gpt2": (tf.GPT2Config, "GPT2LMHeadModel", dict(
        vocab_size=VOCABULARY, n_embd=24, n_layer=3, n_head=4, n_positions=32, layer_norm_epsilon=2e-3)),
    "gpt2_inner_scales": (tf.GPT2Config, "GPT2LMHeadModel", dict(
        vocab_size=VOCABULARY, n_embd=24, n_layer=3, n_head=4, n_positions=32, n_inner=36, activation_function="relu",
        scale_attn_by_inverse_layer_idx=True, tie_word_embeddings=False)),
    "gpt_neox": (tf.GPTNeoXConfig, "GPTNeoXForCausalLM", dict(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=64, layer_norm_eps=2e-3, rope_parameters=dict(
            rope_type="default", rope_theta=700.0, partial_rotary_factor=0.5))),
    "gpt_neox_sequential": (tf.GPTNeoXConfig, "GPTNeoXForCausalLM", dict(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=40, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=64, use_parallel_residual=False, attention_bias=False)),
    "opt": (tf.OPTConfig, "OPTForCausalLM", dict(
        vocab_size=VOCABULARY, hidden_size=24, ffn_dim=40, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=32)),
    "mixtral": (tf.MixtralConfig, "MixtralForCausalLM", dict(DECODER, num_local_experts=4, num_experts_per_tok=2, sliding_window=6)),
    "qwen3_moe": (tf.Qwen3MoeConfig, "Qwen3MoeForCausalLM", dict(
        DECODER, num_experts=5, num_experts_per_tok=3, moe_intermediate_size=20, norm_topk_prob=True)),
    "qwen3_moe_raw_gates": (tf.Qwen3MoeConfig, "Qwen3MoeForCausalLM", dict(
        DECODER, num_experts=5, num_experts_per_tok=2, moe_intermediate_size=20, norm_topk_prob=False)),
}

ENCODERS = {
    "bert": (tf.BertConfig, "BertForMaskedLM", dict(ENCODER)),
    "bert_relu_untied": (tf.BertConfig, "BertForMaskedLM", dict(ENCODER, hidden_act="relu", tie_word_embeddings=False)),
    "roberta": (tf.RobertaConfig, "RobertaForMaskedLM", dict(ENCODER, type_vocab_size=1)),
    "distilbert": (tf.DistilBertConfig, "DistilBertForMaskedLM", dict(
        vocab_size=VOCABULARY, dim=24, hidden_dim=40, n_layers=3, n_heads=4, max_position_embeddings=32, pad_token_id=1)),
}

IMAGE = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4, image_size=[12, 8], patch_size=4,
             layer_norm_eps=2e-3, num_labels=7)
IMAGES = {
    "vit": (tf.ViTConfig, "ViTForImageClassification", dict(IMAGE, qkv_bias=False)),
    "deit": (tf.DeiTConfig, "DeiTForImageClassification", dict(IMAGE)),
    "deit_teacher": (tf.DeiTConfig, "DeiTForImageClassificationWithTeacher", dict(IMAGE)),
    "dinov2": (tf.Dinov2Config, "Dinov2ForImageClassification", dict(IMAGE, image_size=12, mlp_ratio=2)),
}

SENTENCES = {
    "bert": (tf.BertConfig, "BertForSequenceClassification", dict(ENCODER, num_labels=5)),
    "roberta": (tf.RobertaConfig, "RobertaForSequenceClassification", dict(ENCODER, type_vocab_size=1, num_labels=5)),
    "distilbert": (tf.DistilBertConfig, "DistilBertForSequenceClassification", dict(ENCODERS["distilbert"][2], num_labels=5)),
    "llama": (tf.LlamaConfig, "LlamaForSequenceClassification", dict(DECODER, num_labels=5)),
    "gpt2": (tf.GPT2Config, "GPT2ForSequenceClassification", dict(DECODERS["gpt2"][2], num_labels=5, pad_token_id=1)),
}


def compare(case, inputs, output, tmp_path):
    """Both implementations on the same inputs; returns (theirs, ours) after comparing `output`."""
    config, kind, settings = case
    model = make(config(**settings), kind)
    theirs = run_peer(model, inputs)
    ours = run_orchard(save(model, tmp_path / "model"), inputs, tmp_path)
    if output == "token_logits" and "attention_mask" in inputs:  # what padding predicts is undefined
        keep = inputs["attention_mask"].bool()
        assert max_relative(ours[output][keep], theirs.logits[keep]) < TOLERANCE
        assert max_relative(ours["layerwise." + output][keep], theirs.logits[keep]) < TOLERANCE
    else:
        assert max_relative(ours[output], theirs.logits) < TOLERANCE
        assert max_relative(ours["layerwise." + output], theirs.logits) < TOLERANCE
    return theirs, ours


@pytest.mark.parametrize("case", DECODERS)
def test_decoder_logits(case, tmp_path):
    theirs, ours = compare(DECODERS[case], {"tokens": tokens()}, "token_logits", tmp_path)
    for i in range(len(theirs.hidden_states) - 1):  # the last one of transformers is after the final norm
        assert max_relative(ours[f"stream.{i}"], theirs.hidden_states[i]) < TOLERANCE


@pytest.mark.parametrize("case", ["llama", "mistral_window", "gpt2", "opt", "gemma2"])
def test_decoder_with_padding(case, tmp_path):
    compare(DECODERS[case], padded(), "token_logits", tmp_path)


@pytest.mark.parametrize("case", ENCODERS)
def test_masked_language_model(case, tmp_path):
    inputs = padded()
    if case.startswith("bert"):
        inputs["types"] = torch.randint(0, 2, (2, LENGTH), generator=torch.Generator().manual_seed(3))
    compare(ENCODERS[case], inputs, "token_logits", tmp_path)


@pytest.mark.parametrize("case", IMAGES)
def test_image_classifier(case, tmp_path):
    height, width = (12, 12) if case == "dinov2" else (12, 8)
    images = torch.randn(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    compare(IMAGES[case], {"images": images}, "class_logits", tmp_path)


@pytest.mark.parametrize("case", SENTENCES)
def test_sentence_classifier(case, tmp_path):
    compare(SENTENCES[case], padded(), "class_logits", tmp_path)


@pytest.mark.parametrize("kind", ["BertModel", "RobertaModel"])
def test_pooler(kind, tmp_path):
    config = tf.BertConfig(**ENCODER) if kind == "BertModel" else tf.RobertaConfig(**ENCODER)
    model = make(config, kind)
    theirs = run_peer(model, {"tokens": tokens()})
    ours = run_orchard(save(model, tmp_path / "model"), {"tokens": tokens()}, tmp_path)
    assert max_relative(ours["hidden"], theirs.last_hidden_state) < TOLERANCE
    assert max_relative(ours["pooled"], theirs.pooler_output) < TOLERANCE
    assert "token_logits" not in ours  # an encoder without a head predicts nothing


def test_vit_pooler(tmp_path):
    model = make(tf.ViTConfig(**IMAGE, pooler_act="relu", pooler_output_size=9), "ViTModel")
    images = torch.randn(2, 3, 12, 8, dtype=torch.float64)
    theirs = run_peer(model, {"images": images})
    ours = run_orchard(save(model, tmp_path / "model"), {"images": images}, tmp_path)
    assert max_relative(ours["hidden"], theirs.last_hidden_state) < TOLERANCE
    assert max_relative(ours["pooled"], theirs.pooler_output) < TOLERANCE


@pytest.mark.parametrize("dtype,tolerance", [("f32", 3e-5), ("bf16", 0.1)])
@pytest.mark.parametrize("case", ["llama", "gemma2", "gpt2"])
def test_lower_precision_is_close(case, dtype, tolerance, tmp_path):
    config, kind, settings = DECODERS[case]
    model = make(config(**settings), kind)
    ours = run_orchard(save(model, tmp_path / "model"), {"tokens": tokens()}, tmp_path, dtype)
    assert max_relative(ours["token_logits"], run_peer(model, {"tokens": tokens()}).logits) < tolerance
