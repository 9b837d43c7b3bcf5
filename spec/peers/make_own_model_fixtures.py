#!/usr/bin/env python3
"""Golden values of the model of examples/own_model.lua for the specs: the same model in PyTorch, trained in float64.

Writes own_model_steps.safetensors under spec/fixtures (or the folder given as the first argument): twenty batches,
the weights before and after twenty steps of torch.optim.AdamW, and the loss of each step. Dropout is off. The names of
the weights are those of the example. Needs torch and safetensors; the spec that reads the file does not.
"""

import math
import pathlib
import sys

import numpy
import torch
from safetensors.numpy import save_file

HIDDEN, HEADS, INNER, LAYERS, WORDS, POSITIONS, TYPES = 16, 2, 24, 2, 53, 16, 2
BATCH, LENGTH, PREDICTIONS, STEPS = 4, 16, 3, 20
RATE, BETAS, EPSILON, DECAY = 3e-3, (0.9, 0.999), 1e-6, 0.01
LAYER_NORM_EPS, RMS_NORM_EPS = 1e-12, 1e-6


def rms_norm(x, weight):
    return x / (x.square().mean(-1, keepdim=True) + RMS_NORM_EPS).sqrt() * weight


def linear(weights, name, x):
    return torch.nn.functional.linear(x, weights[name + ".weight"], weights[name + ".bias"])


def attention(weights, prefix, x, mask):
    """Multi-head attention; x [B,S,H], mask [B,S] of the tokens that are there."""
    heads = []
    for name in ("query", "key", "value"):
        y = linear(weights, f"{prefix}.self.{name}", x)
        heads.append(y.view(BATCH, LENGTH, HEADS, HIDDEN // HEADS).transpose(1, 2))
    scores = heads[0] @ heads[1].transpose(2, 3) / math.sqrt(HIDDEN // HEADS)
    scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
    y = (scores.softmax(-1) @ heads[2]).transpose(1, 2).reshape(BATCH, LENGTH, HIDDEN)
    return linear(weights, f"{prefix}.output", y)


def forward(weights, batch):
    """Mean cross-entropy over the masked words."""
    lengths = torch.from_numpy(batch["lengths"])
    mask = torch.arange(LENGTH)[None, :] < lengths[:, None]
    x = weights["embeddings.word_embeddings.weight"][torch.from_numpy(batch["input_ids"]).long()]
    x = x + weights["embeddings.position_embeddings.weight"][None, :LENGTH]
    x = x + weights["embeddings.token_type_embeddings.weight"][torch.from_numpy(batch["segment_ids"]).long()]
    x = torch.nn.functional.layer_norm(
        x, (HIDDEN,), weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"], LAYER_NORM_EPS
    )
    for i in range(LAYERS):
        prefix = f"layer.{i}"
        x = x + attention(weights, f"{prefix}.attention", rms_norm(x, weights[f"{prefix}.attention.norm.weight"]), mask)
        both = linear(weights, f"{prefix}.intermediate.dense", rms_norm(x, weights[f"{prefix}.norm.weight"]))
        value, gate = both.split(INNER, -1)
        x = x + linear(weights, f"{prefix}.output.dense", value * torch.nn.functional.gelu(gate))
    rows, labels = [], []
    for b in range(BATCH):
        for position, label in zip(batch["masked_lm_positions"][b], batch["masked_lm_labels"][b]):
            if label >= 0:
                rows.append(x[b, int(position)])
                labels.append(int(label))
    masked = rms_norm(torch.stack(rows), weights["norm.weight"])
    scores = masked @ weights["embeddings.word_embeddings.weight"].T + weights["decoder.bias"]
    return torch.nn.functional.cross_entropy(scores, torch.tensor(labels))


def make_weights(generator):
    """Weights spread as after some training, exactly representable in float32."""
    shapes = {
        "embeddings.word_embeddings.weight": (WORDS, HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (TYPES, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
        "norm.weight": (HIDDEN,),
        "decoder.bias": (WORDS,),
    }
    for i in range(LAYERS):
        prefix = f"layer.{i}"
        shapes[f"{prefix}.attention.norm.weight"] = shapes[f"{prefix}.norm.weight"] = (HIDDEN,)
        products = {
            "attention.self.query": (HIDDEN, HIDDEN),
            "attention.self.key": (HIDDEN, HIDDEN),
            "attention.self.value": (HIDDEN, HIDDEN),
            "attention.output": (HIDDEN, HIDDEN),
            "intermediate.dense": (2 * INNER, HIDDEN),
            "output.dense": (HIDDEN, INNER),
        }
        for name, shape in products.items():
            shapes[f"{prefix}.{name}.weight"], shapes[f"{prefix}.{name}.bias"] = shape, shape[:1]
    weights = {}
    for name in sorted(shapes):
        noise = torch.randn(shapes[name], generator=generator, dtype=torch.float64)
        if name.endswith("orm.weight"):
            value = 1 + 0.1 * noise
        elif name.endswith("bias"):
            value = 0.05 * noise
        elif "embeddings" in name:
            value = 0.3 * noise
        else:
            value = noise / math.sqrt(shapes[name][-1])
        weights[name] = value.float().double().requires_grad_()
    return weights


def make_batch(rng):
    lengths = rng.integers(6, LENGTH + 1, size=BATCH)
    lengths[0] = LENGTH
    ids = numpy.zeros((BATCH, LENGTH), dtype=numpy.int32)
    types = numpy.zeros_like(ids)
    positions = numpy.zeros((BATCH, PREDICTIONS), dtype=numpy.int32)
    labels = numpy.full((BATCH, PREDICTIONS), -1, dtype=numpy.int32)
    for b, n in enumerate(lengths):
        ids[b, :n] = rng.integers(5, WORDS, size=n)
        types[b, rng.integers(2, n - 1) : n] = 1
        count = rng.integers(1, PREDICTIONS + 1)
        positions[b, :count] = numpy.sort(rng.choice(numpy.arange(1, n), size=count, replace=False))
        labels[b, :count] = rng.integers(5, WORDS, size=count)
    return {
        "input_ids": ids,
        "segment_ids": types,
        "lengths": lengths.astype(numpy.int32),
        "masked_lm_positions": positions,
        "masked_lm_labels": labels,
        "next_sentence_labels": numpy.zeros(BATCH, dtype=numpy.int32),
    }


def decays(name):
    return not (name.endswith("bias") or name.endswith("orm.weight"))


def to_f32(value):
    return numpy.ascontiguousarray(value.detach().float().numpy())


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures")
    rng = numpy.random.default_rng(31)
    batches = [make_batch(rng) for _ in range(STEPS)]
    weights = make_weights(torch.Generator().manual_seed(11))
    tensors = {"batch." + name: numpy.stack([b[name] for b in batches]) for name in batches[0]}
    for name, value in weights.items():
        tensors["before." + name] = to_f32(value)
    groups = [
        {"params": [w for name, w in weights.items() if decays(name)], "weight_decay": DECAY},
        {"params": [w for name, w in weights.items() if not decays(name)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPSILON)
    losses = []
    for batch in batches:
        optimizer.zero_grad()
        loss = forward(weights, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print("losses", [round(x, 4) for x in losses])
    tensors["losses"] = numpy.array(losses, dtype=numpy.float32)
    for name, value in weights.items():
        tensors["after." + name] = to_f32(value)
    save_file(tensors, folder / "own_model_steps.safetensors")


if __name__ == "__main__":
    main()
