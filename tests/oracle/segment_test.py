"""Cosine attention, the segmentation loss and instance norm against their formulas in numpy (float64), and gradients against
torch.autograd in float64."""
import os
import subprocess

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

DRIVER = os.path.join(os.environ["ORCHARD_BUILD_DIR"], "tests", "orchard-segment")


def ours(what, tensors, tmp_path):
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, tmp_path / "in.safetensors")
    subprocess.run([DRIVER, what, tmp_path / "in.safetensors", tmp_path / "out.safetensors"], check=True)
    return load_file(tmp_path / "out.safetensors")


# ---- attention ------------------------------------------------------------------------------------------------------
def attention_input(seed, batch, targets, tokens, classes, d, c, tau=10.0, beta=8.0, absent=()):
    """Boundary tokens belong to two classes; classes in `absent` have none."""
    g = np.random.default_rng(seed)
    mu = np.zeros((batch, classes, tokens))
    present = [k for k in range(classes) if k not in absent]
    for b in range(batch):
        for j in range(tokens):
            first, second = g.choice(present, 2)
            share = g.choice([0.0, 0.25, 0.5, 0.875])
            mu[b, first, j] += 1 - share
            mu[b, second, j] += share
    return {
        "q": g.normal(size=(batch, targets, d)) * g.uniform(0.1, 10, size=(batch, targets, 1)),
        "k": g.normal(size=(batch, tokens, d)), "v": g.normal(size=(batch, tokens, c)), "mu": mu,
        "tau": np.array([tau]), "beta": np.array([beta]), "prior": g.normal(size=(batch, classes)) * 0.3,
        "d_context": g.normal(size=(batch, targets, c)), "d_similarity": g.normal(size=(batch, targets, classes)),
    }


def naive(t):
    """One target and one class at a time, as written in the method's document."""
    batch, targets, _ = t["q"].shape
    classes, c = t["mu"].shape[1], t["v"].shape[2]
    tau, beta = t["tau"][0], t["beta"][0]
    context = np.zeros((batch, targets, c))
    sigma = np.full((batch, targets, classes), -1.0)
    weight = np.zeros((batch, targets, classes))
    unit = lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-12)
    for b in range(batch):
        q, k = unit(t["q"][b]), unit(t["k"][b])
        for i in range(targets):
            s = k @ q[i]
            a, logits = {}, {}
            for n in range(classes):
                area = t["mu"][b, n].sum()
                if area == 0:
                    continue
                p = t["mu"][b, n] * np.exp(tau * (s - 1))
                sigma[b, i, n] = 1 + np.log(p.sum() / area) / tau
                a[n] = (p / p.sum()) @ t["v"][b]
                logits[n] = beta * sigma[b, i, n] + t["prior"][b, n]
            most = max(logits.values())
            total = sum(np.exp(x - most) for x in logits.values())
            for n in logits:
                weight[b, i, n] = np.exp(logits[n] - most) / total
                context[b, i] += weight[b, i, n] * a[n]
    return context, sigma, weight


def autograd(t):
    x = {name: torch.tensor(value, dtype=torch.float64) for name, value in t.items()}
    for name in ["q", "k", "v", "tau", "beta", "prior"]:
        x[name].requires_grad_()
    unit = lambda y: y / (y.square().sum(-1, keepdim=True) + 1e-12).sqrt()
    s = torch.einsum("bid,bjd->bij", unit(x["q"]), unit(x["k"]))
    p = x["mu"].unsqueeze(1) * torch.exp(x["tau"] * (s - 1)).unsqueeze(2)  # [b, i, class, j]
    mass, area = p.sum(-1), x["mu"].sum(-1).unsqueeze(1)
    there = (area > 0).expand_as(mass)
    mass_safe = torch.where(there, mass, torch.ones_like(mass))
    sigma = torch.where(there, 1 + torch.log(mass_safe / torch.where(area > 0, area, 1.0)) / x["tau"], -1.0)
    a = torch.einsum("binj,bjc->binc", p / mass_safe.unsqueeze(-1), x["v"])
    logits = (x["beta"] * sigma + x["prior"].unsqueeze(1)).masked_fill(~there, -torch.inf)
    context = (torch.softmax(logits, -1).unsqueeze(-1) * a).sum(2)
    ((context * x["d_context"]).sum() + (sigma * x["d_similarity"]).sum()).backward()
    return {name: x[name].grad.numpy() for name in ["q", "k", "v", "tau", "beta", "prior"]}


CASES = {
    "odd": dict(batch=2, targets=37, tokens=53, classes=3, d=7, c=5),
    "blocks": dict(batch=1, targets=129, tokens=200, classes=4, d=32, c=48),
    "absent": dict(batch=2, targets=20, tokens=70, classes=5, d=16, c=16, absent=(2, 4)),
    "background": dict(batch=1, targets=9, tokens=65, classes=1, d=8, c=8),
    "hot": dict(batch=1, targets=33, tokens=90, classes=3, d=6, c=4, tau=40.0, beta=40.0),
    "cold": dict(batch=1, targets=33, tokens=90, classes=3, d=6, c=4, tau=0.05, beta=1.0),
}


@pytest.mark.parametrize("what", ["attention", "composed"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype, tolerance", [("f64", 1e-11), ("f32", 1e-5)])
def test_attention_is_its_formula(what, case, dtype, tolerance, tmp_path):
    t = attention_input(7, **CASES[case])
    kind = np.float64 if dtype == "f64" else np.float32
    t = {name: value.astype(kind) for name, value in t.items()}
    out = ours(what, t, tmp_path)
    # What is left of sigma at a small tau is the rounding of L / M times 1 / tau.
    sigma_tolerance = tolerance * max(1, 0.1 / t["tau"][0])
    context, sigma, weight = naive({name: value.astype(np.float64) for name, value in t.items()})
    np.testing.assert_allclose(out["context"], context, rtol=0, atol=tolerance * np.abs(context).max())
    np.testing.assert_allclose(out["similarity"], sigma, rtol=0, atol=sigma_tolerance)
    np.testing.assert_allclose(out["weight"], weight, rtol=0, atol=2 * tolerance * max(1, t["beta"][0]))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype, tolerance", [("f64", 1e-6), ("f32", 2e-4)])
def test_gradients_are_those_of_autograd(case, dtype, tolerance, tmp_path):
    kind = np.float64 if dtype == "f64" else np.float32
    t = {name: value.astype(kind) for name, value in attention_input(11, **CASES[case]).items()}
    out = ours("attention", t, tmp_path)
    for name, peer in autograd(t).items():
        scale = max(np.abs(peer).max(), 1e-3)
        if name == "tau" and case == "cold" and dtype == "f32":
            continue  # a difference of large numbers over tau^2: checked in f64
        np.testing.assert_allclose(out["d_" + name], peer, rtol=0, atol=tolerance * scale, err_msg=name)


def test_with_prior_ln_area_and_beta_tau_it_is_softmax_attention(tmp_path):
    t = attention_input(3, batch=1, targets=40, tokens=100, classes=4, d=12, c=6)
    t["prior"] = np.log(t["mu"].sum(-1))
    t["beta"] = t["tau"].copy()
    out = ours("attention", t, tmp_path)
    unit = lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-12)
    score = t["tau"][0] * (unit(t["q"][0]) @ unit(t["k"][0]).T)
    p = np.exp(score - score.max(-1, keepdims=True)) * t["mu"][0].sum(0)  # each (token, class) pair once, with its share
    np.testing.assert_allclose(out["context"][0], (p / p.sum(-1, keepdims=True)) @ t["v"][0], atol=1e-12)


def test_scaling_permuting_and_duplicating_change_nothing(tmp_path):
    t = attention_input(5, batch=1, targets=30, tokens=80, classes=3, d=10, c=8)
    base = ours("attention", t, tmp_path)
    g = np.random.default_rng(1)
    scaled = dict(t, q=t["q"] * g.uniform(0.5, 50, size=(1, 30, 1)), k=t["k"] * 17.0)
    order = g.permutation(80)
    permuted = dict(t, k=t["k"][:, order], v=t["v"][:, order], mu=t["mu"][:, :, order])
    twice = dict(t, k=np.concatenate([t["k"]] * 2, 1), v=np.concatenate([t["v"]] * 2, 1), mu=np.concatenate([t["mu"]] * 2, 2))
    for other in [scaled, permuted, twice]:
        out = ours("attention", other, tmp_path)
        np.testing.assert_allclose(out["context"], base["context"], atol=1e-10)
        np.testing.assert_allclose(out["similarity"], base["similarity"], atol=1e-10)


def test_a_zero_vector_has_similarity_zero_and_finite_gradients(tmp_path):
    t = attention_input(9, batch=1, targets=4, tokens=10, classes=2, d=6, c=3)
    t["q"][0, 1] = 0
    t["k"][0, 2] = 0
    out = ours("attention", t, tmp_path)
    assert all(np.isfinite(value).all() for value in out.values())
    np.testing.assert_allclose(out["similarity"][0, 1], 0, atol=1e-12)


def test_one_token_a_class_is_seen_as_it_is(tmp_path):
    t = attention_input(13, batch=1, targets=6, tokens=3, classes=3, d=5, c=4)
    t["mu"] = np.eye(3)[None]
    out = ours("attention", t, tmp_path)
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
    s = unit(t["q"][0]) @ unit(t["k"][0]).T
    np.testing.assert_allclose(out["similarity"][0], s, atol=1e-9)
    weight = np.exp(t["beta"][0] * s + t["prior"])
    np.testing.assert_allclose(out["context"][0], weight / weight.sum(-1, keepdims=True) @ t["v"][0], atol=1e-9)


def test_temperature_goes_from_the_mean_to_the_best_match(tmp_path):
    t = attention_input(17, batch=1, targets=20, tokens=40, classes=1, d=6, c=3)
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
    s = unit(t["q"][0]) @ unit(t["k"][0]).T
    mu = t["mu"][0, 0]
    flat = ours("attention", dict(t, tau=np.array([1e-4])), tmp_path)
    np.testing.assert_allclose(flat["similarity"][0, :, 0], s @ mu / mu.sum(), atol=1e-3)
    np.testing.assert_allclose(flat["context"][0], np.tile(mu @ t["v"][0] / mu.sum(), (20, 1)), atol=1e-3)
    # As sharp as f64 allows: exp(tau (s - 1)) is at least exp(-2 tau).
    tau = 350.0
    sharp = ours("attention", dict(t, tau=np.array([tau])), tmp_path)
    similarity, best = sharp["similarity"][0, :, 0], s.argmax(-1)
    assert (similarity - s.max(-1)).max() < 1e-9
    assert (s.max(-1) - np.log(mu.sum()) / tau - similarity).max() < 1e-9
    clear = np.sort(s, -1)[:, -1] - np.sort(s, -1)[:, -2] > 0.05
    assert clear.sum() > 3
    np.testing.assert_allclose(sharp["context"][0][clear], t["v"][0][best[clear]], atol=1e-6)


# ---- loss -----------------------------------------------------------------------------------------------------------
def peer_loss(logits, labels, ce_weight, dice_weight, batch_dice, smooth):
    x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    y = torch.tensor(labels.astype(np.int64))
    ce = torch.nn.functional.cross_entropy(x, y, ignore_index=255)
    counted = (y != 255).unsqueeze(1)
    p = torch.softmax(x, 1) * counted
    hot = torch.nn.functional.one_hot(torch.where(y == 255, 0, y), x.shape[1]).movedim(-1, 1) * counted
    axes = (0, 2, 3, 4) if batch_dice else (2, 3, 4)
    dice = (2 * (p * hot).sum(axes) + smooth) / (p.sum(axes) + hot.sum(axes) + smooth)
    loss = ce_weight * ce - dice_weight * dice[..., 1:].mean()
    loss.backward()
    return loss.item(), x.grad.numpy()


@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_loss_and_gradient_are_those_of_torch(batch_dice, channels_last, dtype, tolerance, tmp_path):
    g = np.random.default_rng(2)
    logits = (g.normal(size=(2, 4, 9, 31, 37)) * 3).astype(dtype)
    labels = g.integers(0, 3, size=(2, 9, 31, 37)).astype(np.uint8)  # class 3 is absent
    labels[g.uniform(size=labels.shape) < 0.1] = 255
    weights = np.array([0.7, 1.3, float(batch_dice), 1e-5])
    tensors = {"logits": logits, "labels": labels, "weights": weights}
    if channels_last:
        tensors["channels_last"] = np.ones(1)
    out = ours("loss", tensors, tmp_path)
    loss, gradient = peer_loss(logits, labels, 0.7, 1.3, batch_dice, 1e-5)
    assert abs(out["loss"] - loss) < tolerance
    np.testing.assert_allclose(out["d_logits"], gradient, rtol=0, atol=tolerance * np.abs(gradient).max())
    assert (out["d_logits"][np.broadcast_to((labels == 255)[:, None], logits.shape)] == 0).all()


def test_uniform_logits_cost_the_logarithm_of_the_classes(tmp_path):
    weights = np.array([1.0, 0.0, 0.0, 1e-5])
    out = ours("loss", {"logits": np.zeros((1, 5, 3, 4, 5)), "labels": np.ones((1, 3, 4, 5), np.uint8), "weights": weights}, tmp_path)
    assert abs(out["loss"] - np.log(5)) < 1e-12


def test_a_perfect_prediction_has_dice_one(tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, size=(1, 4, 5, 6)).astype(np.uint8)
    logits = np.moveaxis(np.eye(3)[labels] * 60.0, -1, 1)
    out = ours("loss", {"logits": logits, "labels": labels, "weights": np.array([1.0, 1.0, 0.0, 1e-5])}, tmp_path)
    assert abs(out["loss"] + 1) < 1e-9


# ---- instance norm ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 2e-5)])
@pytest.mark.parametrize("shape, offset", [((2, 16, 5, 12, 9), 0), ((1, 3, 4, 4, 4), 1000), ((2, 24, 1, 33, 40), -5)])
def test_norm_is_that_of_torch(dtype, tolerance, shape, offset, tmp_path):
    g = np.random.default_rng(4)
    t = {"x": g.normal(size=shape) + offset, "weight": g.normal(size=shape[1]), "bias": g.normal(size=shape[1]),
         "d_y": g.normal(size=shape)}
    t = {name: value.astype(dtype) for name, value in t.items()}
    out = ours("norm", t, tmp_path)
    x = {name: torch.tensor(value, dtype=torch.float64) for name, value in t.items()}
    for name in ["x", "weight", "bias"]:
        x[name].requires_grad_()
    y = torch.nn.functional.leaky_relu(torch.nn.functional.instance_norm(x["x"], weight=x["weight"], bias=x["bias"]), 0.01)
    (y * x["d_y"]).sum().backward()
    # f32 near an offset of 1000 holds 6e-5 of x itself.
    loose = tolerance * (100 if abs(offset) > 100 and dtype == np.float32 else 1)
    np.testing.assert_allclose(out["y"], y.detach(), rtol=0, atol=loose * 10)
    for name in ["x", "weight", "bias"]:
        peer = x[name].grad.numpy()
        np.testing.assert_allclose(out["d_" + name], peer, rtol=0, atol=loose * 30 * np.abs(peer).max(), err_msg=name)
