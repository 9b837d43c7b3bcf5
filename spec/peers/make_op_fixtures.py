#!/usr/bin/env python3
"""Golden values and gradients of the elementwise ops, reductions and losses on the tape, from PyTorch in float64.

Writes elementwise_ops.json under spec/fixtures (or the folder given as the
first argument): inputs by name, and for each case the names of its inputs, the
output, and the gradient by each input of sum(output * weight), where element i
(from 0) of the weight is cos(i). Inputs are numbers that f32 holds.
Needs torch; the spec that reads the file (spec/lua/autograd/elementwise_spec.lua,
which has a function of each name) does not.
"""

import json
import pathlib
import sys

import torch
from torch.nn import functional


def make_inputs():
    generator = torch.Generator().manual_seed(5)

    def uniform(*shape, low=-2.0, high=2.0):
        return (low + (high - low) * torch.rand(*shape, generator=generator)).float().double()

    logits = [2 * uniform(4, 6), 2 * uniform(4, 6)]
    return {
        "signed": uniform(3, 5),
        "other": uniform(3, 5),
        "positive": uniform(3, 5, low=0.2),
        "row": uniform(5, low=0.2),
        "column": uniform(3, 1, low=0.2),
        "cube": uniform(2, 3, 4),
        # Numbers that occur several times, and rows of equal ones.
        "ties": torch.tensor([[1.0, 3.0, 3.0, -2.0], [0.0, 0.0, 0.0, 0.0], [5.0, -1.0, 2.0, 5.0]]).double(),
        "tied": torch.tensor([1.0, 0.0, 3.0, -2.0]).double(),
        "vectors": uniform(4, 6),
        "more_vectors": uniform(4, 6),
        "log_p": logits[0].log_softmax(-1).float().double(),
        "log_q": logits[1].log_softmax(-1).float().double(),
    }


def make_cases():
    one = {
        "neg": lambda x: -x,
        "exp": torch.exp,
        "abs": torch.abs,
        "relu": torch.relu,
        "silu": functional.silu,
        "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
        "sigmoid": torch.sigmoid,
        "affine": lambda x: -2 * x + 3,
        "square": lambda x: x**2,
        "cube": lambda x: x**3,
        "exponential": lambda x: 1.5**x,
        "clamp_min": lambda x: x.clamp(min=0.5),
        "clamp_max": lambda x: x.clamp(max=0.5),
        "where_number": lambda x: torch.where(x < 0, -1.0, x),
    }
    cases = {name: (f, ["signed"]) for name, f in one.items()}
    positive = {
        "log": torch.log,
        "sqrt": torch.sqrt,
        "reciprocal": lambda x: 3 / x,
        "pow": lambda x: x**1.7,
        "rsqrt": lambda x: x**-0.5,
    }
    cases.update({name: (f, ["positive"]) for name, f in positive.items()})
    two = {
        "add": torch.add,
        "sub": torch.sub,
        "mul": torch.mul,
        "div": torch.div,
        "power": torch.pow,
        "maximum": torch.maximum,
        "minimum": torch.minimum,
        "where": lambda a, b: torch.where(a > b, a, 3 * b),
    }
    for name, f in two.items():
        cases[name] = (f, ["positive", "other"])
        cases[name + "_row"] = (f, ["positive", "row"])
        cases[name + "_outer"] = (f, ["column", "row"])
    for name in ("maximum", "minimum"):
        cases[name + "_ties"] = (two[name], ["ties", "tied"])
    cases["self_product"] = (lambda x: x * x, ["signed"])
    reductions = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin}
    for name, f in reductions.items():
        cases[name] = (lambda x, f=f: f(x).reshape(1), ["cube"])
        cases[name + "_ties"] = (lambda x, f=f: f(x, 1), ["ties"])
        for dim in range(3):
            cases[f"{name}_{dim + 1}"] = (lambda x, f=f, dim=dim: f(x, dim), ["cube"])
    cases["argmax"] = (lambda x: x.argmax(1).double(), ["cube"])
    cases["argmax_ties"] = (lambda x: x.argmax(1).double(), ["ties"])
    cases["mse_loss"] = (lambda x, y: functional.mse_loss(x, y).reshape(1), ["vectors", "more_vectors"])
    cases["kl_div"] = (
        lambda p, q: functional.kl_div(q, p, reduction="batchmean", log_target=True).reshape(1),
        ["log_p", "log_q"],
    )
    cases["cosine"] = (lambda x, y: functional.cosine_similarity(x, y, -1), ["vectors", "more_vectors"])
    cases["cosine_1"] = (lambda x, y: functional.cosine_similarity(x, y, 0), ["vectors", "more_vectors"])
    return cases


def listed(t):
    return {"dims": list(t.shape), "values": t.detach().flatten().tolist()}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures")
    inputs, cases = make_inputs(), {}
    for name, (f, names) in make_cases().items():
        leaves = [inputs[n].clone().requires_grad_() for n in names]
        out = f(*leaves)
        case = {"inputs": names, "output": listed(out)}
        if out.requires_grad:
            (out * torch.arange(out.numel()).double().cos().reshape(out.shape)).sum().backward()
            case["gradients"] = [listed(x.grad) for x in leaves]
        cases[name] = case
    text = {"inputs": {name: listed(x) for name, x in inputs.items()}, "cases": cases}
    path = folder / "elementwise_ops.json"
    path.write_text(json.dumps(text, separators=(",", ":")).replace('},"', '},\n"') + "\n")
    print(len(cases), "cases,", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
