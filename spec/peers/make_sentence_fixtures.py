#!/usr/bin/env python3
"""Golden values of sentence embeddings for the specs, from PyTorch and transformers in float64.

Writes sentences_tiny.safetensors under spec/fixtures (or the folder given as
the first argument): for the encoder and the batch of
classification_tiny.safetensors, taken as two groups of two texts, vectors of
both ways of pooling, and for each loss its value and the gradients of the
vectors of parameters and one matrix. Dropout is off. The losses are written
from their formulas: multiple negatives ranking (arXiv 1705.00652) with scale
20, mean squared error of cosines, CoSENT with scale 20.
Needs torch, transformers and safetensors; the specs that read the file do not.
"""

import pathlib
import sys

import numpy
import torch
from make_classification_fixtures import make_batch
from make_fixtures import LENGTH, make_model, to_f32
from safetensors.numpy import save_file

SCALE = 20
SCORES = [0.9, 0.25]


def unit(x):
    return torch.nn.functional.normalize(x, dim=1)


def multiple_negatives(vectors, group):
    count = len(vectors) // group
    scores = SCALE * unit(vectors[:count]) @ unit(vectors[count:]).T
    return torch.nn.functional.cross_entropy(scores, torch.arange(count))


def cosines(vectors):
    count = len(vectors) // 2
    return (unit(vectors[:count]) * unit(vectors[count:])).sum(1)


def cosine(vectors, scores):
    return torch.nn.functional.mse_loss(cosines(vectors), scores)


def cosent(vectors, scores):
    c = cosines(vectors)
    terms = [torch.zeros((), dtype=c.dtype)]
    for i in range(len(c)):
        for j in range(len(c)):
            if scores[i] > scores[j]:
                terms.append(SCALE * (c[j] - c[i]))
    return torch.logsumexp(torch.stack(terms), 0)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures")
    model = make_model(torch.Generator().manual_seed(12)).bert.eval()
    batch = make_batch(numpy.random.default_rng(22))
    mask = torch.arange(LENGTH)[None] < torch.tensor(batch["lengths"])[:, None]
    scores = torch.tensor(SCORES, dtype=torch.float64)
    tensors = {"scores": to_f32(scores)}

    def embed(pooling):
        hidden = model(
            input_ids=torch.tensor(batch["input_ids"]).long(),
            token_type_ids=torch.tensor(batch["segment_ids"]).long(),
            attention_mask=mask.long(),
        ).last_hidden_state
        if pooling == "cls":
            return hidden[:, 0]
        weights = mask[..., None].double()
        return (hidden * weights).sum(1) / weights.sum(1)

    for pooling in ("mean", "cls"):
        tensors["vectors." + pooling] = to_f32(embed(pooling))
    losses = {
        "multiple_negatives": lambda v: multiple_negatives(v, 2),
        "negatives": lambda v: multiple_negatives(v, 4),
        "cosine": lambda v: cosine(v, scores),
        "cosent": lambda v: cosent(v, scores),
    }
    for name, loss_of in losses.items():
        model.zero_grad()
        loss = loss_of(embed("mean"))
        loss.backward()
        print(name, loss.item())
        tensors["loss." + name] = to_f32(loss.reshape(1))
        for parameter, p in model.named_parameters():
            if p.grad is not None and (p.dim() == 1 or parameter.endswith("layer.0.attention.self.value.weight")):
                tensors[f"grad.{name}.bert.{parameter}"] = to_f32(p.grad)
    save_file(tensors, folder / "sentences_tiny.safetensors")


if __name__ == "__main__":
    main()
