#!/usr/bin/env python3
"""Golden values of parameter groups: ten steps of torch.optim.AdamW on the tiny BERT of make_fixtures.py.

Writes, under spec/fixtures (or the folder given as the first argument):

  bert_tiny_groups.safetensors  the losses, the gradient norms and the trained weights after ten steps

Embeddings and the lower layer are frozen (requires_grad = False); the upper
layer learns at half the rate and without decay, the heads at the full rate with
a decay of their own, as spec/lua/train/optimizer_spec.lua says again in Lua. The
batches are those of bert_tiny_steps.safetensors. In float64, dropout off. Needs
torch, transformers and safetensors; the spec that reads the file does not.
"""

import pathlib
import sys

import numpy
import torch
from safetensors.numpy import load_file, save_file

import make_fixtures as tiny

RATE = 1e-3


def group_of(name):
    """Factor of the learning rate and weight decay; None: frozen."""
    if ".embeddings." in name or ".layer.0." in name:
        return None
    if ".layer.1." in name:
        return 0.5, 0.0
    if name.startswith("cls."):
        return 1.0, 0.1 if name.endswith("weight") else 0.0
    return 1.0, tiny.DECAY if tiny.decays(name) else 0.0


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures")
    steps = load_file(folder / "bert_tiny_steps.safetensors")
    model = tiny.make_model(torch.Generator().manual_seed(7))
    groups = []
    for name, p in model.named_parameters():
        group = group_of(name)
        p.requires_grad_(group is not None)
        if group:
            groups.append({"params": [p], "factor": group[0], "weight_decay": group[1]})
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(tiny.BETA1, tiny.BETA2), eps=tiny.EPSILON)
    losses, norms = [], []
    for step in range(1, tiny.STEPS + 1):
        batch = {name[6:]: value[step - 1] for name, value in steps.items() if name.startswith("batch.")}
        optimizer.zero_grad()
        loss = tiny.run(model, batch)["loss"]
        loss.backward()
        losses.append(loss.item())
        trained = [p for p in model.parameters() if p.requires_grad]
        # clip_grad_norm_ adds 1e-6 to the norm; this is the formula without it.
        norm = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in trained])).item()
        norms.append(norm)
        if norm > tiny.MAX_NORM:
            for p in trained:
                p.grad.mul_(tiny.MAX_NORM / norm)
        for group in optimizer.param_groups:
            group["lr"] = tiny.learning_rate(step, RATE) * group["factor"]
        optimizer.step()
    print("losses", [round(x, 4) for x in losses], "gradient norms", [round(x, 3) for x in norms])
    tensors = {"losses": numpy.array(losses, dtype=numpy.float32), "norms": numpy.array(norms, dtype=numpy.float32)}
    for name, p in model.named_parameters():
        if p.requires_grad:
            tensors["weight." + name] = tiny.to_f32(p)
    save_file(tensors, folder / "bert_tiny_groups.safetensors")


if __name__ == "__main__":
    main()
