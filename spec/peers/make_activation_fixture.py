#!/usr/bin/env python3
"""Golden values of the tiny BERT of make_fixtures.py with GELU in its tanh form, from PyTorch in float64.

Writes bert_tiny_gelu_tanh.safetensors, under spec/fixtures (or the folder given
as the first argument): losses, logits and some gradients of bert_tiny's weights
and batch with hidden_act "gelu_pytorch_tanh". Needs torch, transformers and
safetensors; the spec that reads the file does not.
"""

import pathlib
import sys

import torch
from make_fixtures import CONFIG, make_model, run, to_f32
from safetensors.numpy import load_file, save_file

GRADIENTS = [
    "bert.encoder.layer.0.intermediate.dense.weight",
    "bert.encoder.layer.0.intermediate.dense.bias",
    "bert.encoder.layer.1.attention.self.query.weight",
    "cls.predictions.transform.dense.weight",
    "cls.predictions.transform.dense.bias",
]


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures")
    given = load_file(folder / "bert_tiny.safetensors")
    CONFIG["hidden_act"] = "gelu_pytorch_tanh"
    model = make_model(torch.Generator().manual_seed(7))
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, p in parameters.items():
            p.copy_(torch.from_numpy(given["weight." + name]).double())
    out = run(model, {name[6:]: value for name, value in given.items() if name.startswith("batch.")})
    out["loss"].backward()
    tensors = {name: to_f32(value.reshape(1) if value.ndim == 0 else value) for name, value in out.items()}
    for name in GRADIENTS:
        tensors["grad." + name] = to_f32(parameters[name].grad)
    save_file(tensors, folder / "bert_tiny_gelu_tanh.safetensors")


if __name__ == "__main__":
    main()
