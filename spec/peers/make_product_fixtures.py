#!/usr/bin/env python3
"""Values and gradients of the product and shape ops for the specs, from PyTorch and transformers in float64.

Writes products.json under spec/fixtures (or the folder given as the first
argument): cases of {name, arguments, inputs, dy, y, gradients}, tensors as
{dims, values}. Inputs are f32 numbers; the gradients are those of sum(dy * y).
Needs torch and transformers; the spec that reads the file does not.
"""

import json
import pathlib
import sys

import torch
from torch.nn import functional
from transformers.models.gpt_neox.modeling_gpt_neox import apply_rotary_pos_emb

generator = torch.Generator().manual_seed(5)


def random(*dims):
    return torch.randn(dims, generator=generator, dtype=torch.float64).float().double()


def packed(tensor):
    return {"dims": list(tensor.shape), "values": [float(f"{v:.10g}") for v in tensor.detach().flatten().tolist()]}


def case(name, function, inputs, **arguments):
    """One case: function of the inputs, which are differentiated by."""
    inputs = [x.requires_grad_() for x in inputs]
    y = function(*inputs)
    dy = random(*y.shape)
    gradients = torch.autograd.grad(y, inputs, dy)
    return {
        "name": name,
        "arguments": arguments,
        "inputs": [packed(x) for x in inputs],
        "dy": packed(dy),
        "y": packed(y),
        "gradients": [packed(g) for g in gradients],
    }


def matmuls():
    pairs = [([3, 4], [4, 5]), ([2, 3, 4], [2, 4, 5]), ([2, 3, 4], [4, 5]), ([3, 4], [2, 4, 2])]
    for a, b in [*pairs, ([2, 1, 3, 2], [1, 3, 2, 3])]:
        for turn_a, turn_b in [(False, False), (True, False), (False, True), (True, True)]:
            own_a = a[:-2] + ([a[-1], a[-2]] if turn_a else a[-2:])
            own_b = b[:-2] + ([b[-1], b[-2]] if turn_b else b[-2:])

            def product(x, y, turn_a=turn_a, turn_b=turn_b):
                return torch.matmul(x.mT if turn_a else x, y.mT if turn_b else y)

            yield case("matmul", product, [random(*own_a), random(*own_b)], turn_a=turn_a, turn_b=turn_b)


def gates():
    activations = {
        "gelu": functional.gelu,
        "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
        "silu": functional.silu,
        "relu": functional.relu,
    }
    yield case("glu", functional.glu, [2 * random(3, 10)], activation="sigmoid")
    for name, activation in activations.items():

        def gated(x, activation=activation):
            value, gate = x.chunk(2, dim=-1)
            return value * activation(gate)

        yield case("glu", gated, [2 * random(3, 10)], activation=name)


def rotary(positions, heads, base):
    size = 6
    frequencies = base ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.tensor(positions, dtype=torch.float64)[:, None] * frequencies
    angles = torch.cat([angles, angles], dim=-1)

    def turn(qkv):
        q, k, v = (x.view(len(positions), heads, size) for x in qkv.chunk(3, dim=-1))
        q, k = apply_rotary_pos_emb(q, k, angles.cos(), angles.sin())
        return torch.cat([q, k, v], dim=1).reshape(len(positions), -1)

    return case("rotary", turn, [random(len(positions), 3 * heads * size)], positions=positions, heads=heads, base=base)


def shapes():
    yield case("reshape", lambda x: x.reshape(4, 6), [random(2, 3, 4)], dims=[4, 6])
    yield case("transpose", lambda x: x.transpose(0, 2), [random(2, 3, 4)], first=1, second=3)
    yield case("permute", lambda x: x.permute(2, 0, 3, 1), [random(2, 3, 2, 2)], order=[3, 1, 4, 2])
    yield case("cat", lambda x, y: torch.cat([x, y, x], dim=1), [random(2, 3), random(2, 2)], dim=2)
    yield case("split", lambda x: x.split([3, 1, 2], dim=1)[2], [random(2, 6)], sizes=[3, 1, 2], dim=2, part=3)
    yield case("slice", lambda x: x[:, 1:3], [random(2, 4, 2)], dim=2, first=2, last=3)
    yield case("select", lambda x: x.select(1, 2), [random(2, 3, 2)], dim=2, place=3)
    for dim in range(3):
        index = torch.tensor([2, 0, 2])
        function = lambda x, d=dim: x.index_select(d, index)
        yield case("index_select", function, [random(3, 3, 3)], dim=dim + 1, index=index.tolist())


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures")
    cases = [*matmuls(), *gates(), *shapes()]
    root = [random(4, 10), random(10)]
    cases.append(case("rmsnorm", lambda x, w: functional.rms_norm(x, (10,), w, 1e-5), root, eps=1e-5))
    cases.append(case("softmax", lambda x: functional.softmax(x, dim=-1), [3 * random(2, 3, 5)]))
    cases.append(case("log_softmax", lambda x: functional.log_softmax(x, dim=-1), [3 * random(2, 3, 5)]))
    cases.append(rotary([0, 1, 2, 0, 1], 2, 10000.0))
    cases.append(rotary([511, 70], 1, 500.0))
    with open(folder / "products.json", "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
    print(f"{len(cases)} cases in {folder / 'products.json'}")


if __name__ == "__main__":
    main()
