#!/usr/bin/env python3
"""Logits and gradients of Llama's architecture, written for PyTorch independently of uvic.

Usage: /usr/bin/python3 make_decoder_lm.py > decoder_lm.json        (Debian's python3-torch)

Weights and tokens follow from a hash of their names, which decoder_lm_test.cpp repeats, so that the
file holds results only: the logits, and of each gradient its sum against a hashed direction.
"""
import json
import math

import numpy as np
import torch


def bits(name, count):
    seed = np.uint32(2166136261)
    with np.errstate(over="ignore"):
        for byte in name.encode():
            seed = np.uint32((seed ^ np.uint32(byte)) * np.uint32(16777619))
        h = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9) + seed
        h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def uniform(name, shape):
    u = (bits(name, int(np.prod(shape))) >> np.uint32(8)) / 8388608.0 - 1
    return torch.from_numpy(u).reshape(shape)


def weight(name, shape):
    u = uniform(name, shape)
    if "norm" in name:
        u = 1 + 0.2 * u
    elif len(shape) == 1:
        u = 0.3 * u
    elif "embed" in name:
        u = 1.5 * u
    else:
        u = 2.0 * math.sqrt(3.0 / shape[1]) * u
    return u.float()


def shapes(c):
    d, hd = c["hidden_size"], c["hidden_size"] // c["num_attention_heads"]
    q, kv, inner = d, c.get("num_key_value_heads", c["num_attention_heads"]) * hd, c["intermediate_size"]
    yield "model.embed_tokens.weight", (c["vocab_size"], d)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        for n, rows, cols in (("q", q, d), ("k", kv, d), ("v", kv, d), ("o", d, q)):
            yield p + f"self_attn.{n}_proj.weight", (rows, cols)
            if c.get("attention_bias"):
                yield p + f"self_attn.{n}_proj.bias", (rows,)
        for n, rows, cols in (("gate", inner, d), ("up", inner, d), ("down", d, inner)):
            yield p + f"mlp.{n}_proj.weight", (rows, cols)
        yield p + "input_layernorm.weight", (d,)
        yield p + "post_attention_layernorm.weight", (d,)
    yield "model.norm.weight", (d,)
    if not c.get("tie_word_embeddings"):
        yield "lm_head.weight", (c["vocab_size"], d)


def frequencies(c, hd):
    f = 1.0 / c.get("rope_theta", 10000.0) ** (torch.arange(0, hd, 2, dtype=torch.float64) / hd)
    if c.get("rope_scaling") == "llama3":
        old, low, high, factor = (c["rope_original_positions"], c["rope_low_freq_factor"],
                                  c["rope_high_freq_factor"], c["rope_factor"])
        out = []
        for x in f.tolist():
            wave = 2 * math.pi / x
            if wave < old / high:
                out.append(x)
            elif wave > old / low:
                out.append(x / factor)
            else:
                s = (old / wave - low) / (high - low)
                out.append((1 - s) * x / factor + s * x)
        f = torch.tensor(out, dtype=torch.float64)
    return f


def rms(x, w, eps):
    return w * x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)


def logits_of(c, w, tokens):
    d, heads = c["hidden_size"], c["num_attention_heads"]
    kv_heads, hd, eps = c.get("num_key_value_heads", heads), d // heads, c.get("rms_norm_eps", 1e-6)
    batch, length = tokens.shape
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequencies(c, hd)).float()
    cos, sin = (torch.cat((t, t), -1).to(w["model.norm.weight"].dtype) for t in (angle.cos(), angle.sin()))
    turn = lambda x: x * cos + torch.cat((-x[..., hd // 2:], x[..., : hd // 2]), -1) * sin
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        lin = lambda y, n: torch.nn.functional.linear(y, w[p + n + ".weight"], w.get(p + n + ".bias"))
        y = rms(x, w[p + "input_layernorm.weight"], eps)
        q = lin(y, "self_attn.q_proj").view(batch, length, heads, hd).transpose(1, 2)
        k = lin(y, "self_attn.k_proj").view(batch, length, kv_heads, hd).transpose(1, 2)
        v = lin(y, "self_attn.v_proj").view(batch, length, kv_heads, hd).transpose(1, 2)
        q, k = turn(q), turn(k)
        group = torch.arange(heads) // (heads // kv_heads)
        s = torch.einsum("bhld,bhsd->bhls", q, k[:, group]) / math.sqrt(hd)
        cog = c.get("attention") == "cog" and 0 < i < c["num_hidden_layers"] - 1
        if cog:
            a = s.sign() * torch.softmax(s.abs().masked_fill(hidden, -math.inf), -1)
        else:
            a = torch.softmax(s.masked_fill(hidden, -math.inf), -1)
        o = torch.einsum("bhls,bhsd->blhd", a, v[:, group]).reshape(batch, length, heads * hd)
        x = x + lin(o, "self_attn.o_proj")
        y = rms(x, w[p + "post_attention_layernorm.weight"], eps)
        x = x + lin(torch.nn.functional.silu(lin(y, "mlp.gate_proj")) * lin(y, "mlp.up_proj"), "mlp.down_proj")
    x = rms(x, w["model.norm.weight"], eps)
    return x @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def case(name, batch, length, **c):
    w = {n: weight(n, s).double().requires_grad_() for n, s in shapes(c)}
    tokens = torch.from_numpy((bits("tokens", batch * length) % c["vocab_size"]).astype("int64")).view(batch, length)
    targets = torch.from_numpy((bits("targets", batch * length) % c["vocab_size"]).astype("int64")).view(batch, length)
    out = logits_of(c, w, tokens)
    loss = torch.nn.functional.cross_entropy(out.flatten(0, 1), targets.flatten())
    loss.backward()
    grads = {n: [float((t.grad * uniform(n + ".direction", tuple(t.shape))).sum()), float(t.grad.norm())]
             for n, t in w.items()}
    return {"name": name, "config": c, "batch": batch, "length": length, "loss": float(loss),
            "logits": [round(x, 9) for x in out.flatten().tolist()], "gradients": grads}


BASE = dict(vocab_size=11, hidden_size=24, intermediate_size=40, num_hidden_layers=4, num_attention_heads=4)
print(json.dumps([
    case("Llama", 2, 9, **BASE),
    case("Cogformer", 2, 9, attention="cog", **BASE),
    case("grouped heads, tied", 1, 12, num_key_value_heads=2, tie_word_embeddings=True, **BASE),
    case("one key-value head, biases", 2, 7, num_key_value_heads=1, attention_bias=True, attention="cog", **BASE),
    case("Llama 3's RoPE", 1, 14, rope_theta=500.0, rope_scaling="llama3", rope_factor=8.0, rope_low_freq_factor=1.0,
         rope_high_freq_factor=4.0, rope_original_positions=16, rms_norm_eps=1e-5, **BASE),
], separators=(",", ":")))
