#!/usr/bin/env python3
"""Golden losses of BertForSequenceClassification's other problems for the specs, from PyTorch in float64.

Writes problems_tiny.safetensors under spec/fixtures (or the folder given as the
first argument). Encoder, head and batch are those of classification_tiny.safetensors
(make_classification_fixtures.py); here are, for regression (a head of the first
label alone), several labels a text, and one label a text with weights of the
labels: the targets, the loss, and the gradients of the head, the pooler and one
matrix. Dropout is off. Needs torch, transformers and safetensors.
"""

import pathlib
import sys

import numpy
import torch
import transformers
from make_classification_fixtures import LABELS, make_batch, make_classifier
from make_fixtures import CONFIG, LENGTH, to_f32
from safetensors.numpy import save_file

WEIGHTS = [0.5, 3.0, 1.25]
KEPT = ("classifier.", "bert.pooler.")


def with_problem(kind, labels):
    """The model of the other fixtures, with its problem type and its first labels alone."""
    base = make_classifier(torch.Generator().manual_seed(12))
    config = transformers.BertConfig(
        **{k: v for k, v in CONFIG.items() if k != "architectures"}, num_labels=labels, problem_type=kind)
    config._attn_implementation = "eager"
    model = transformers.BertForSequenceClassification(config).double().eval()
    state = base.state_dict()
    for name in ("classifier.weight", "classifier.bias"):
        state[name] = state[name][:labels]
    model.load_state_dict(state)
    return model


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures")
    batch = make_batch(numpy.random.default_rng(22))
    rng = numpy.random.default_rng(24)
    count = len(batch["lengths"])
    numbers = rng.uniform(0, 5, count).astype(numpy.float32)
    several = rng.integers(0, 2, (count, LABELS)).astype(numpy.float32)
    inputs = {
        "input_ids": torch.tensor(batch["input_ids"]).long(),
        "token_type_ids": torch.tensor(batch["segment_ids"]).long(),
        "attention_mask": (torch.arange(LENGTH)[None] < torch.tensor(batch["lengths"])[:, None]).long(),
    }
    tensors = {"regression.labels": numbers, "multi.labels": several,
               "weighted.weights": numpy.array(WEIGHTS, dtype=numpy.float32)}
    for name, kind, labels, targets in (
        ("regression", "regression", 1, torch.tensor(numbers).double()),
        ("multi", "multi_label_classification", LABELS, torch.tensor(several).double()),
        ("weighted", "single_label_classification", LABELS, None),
    ):
        model = with_problem(kind, labels)
        if targets is None:
            logits = model(**inputs).logits
            loss = torch.nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS).double())(
                logits, torch.tensor(batch["labels"]).long())
        else:
            loss = model(**inputs, labels=targets).loss
        loss.backward()
        tensors[name + ".loss"] = to_f32(loss.reshape(1))
        for parameter, p in model.named_parameters():
            if parameter.startswith(KEPT) or parameter.endswith("layer.0.attention.self.value.weight"):
                tensors[f"{name}.grad.{parameter}"] = to_f32(p.grad)
        print(name, loss.item())
    save_file(tensors, folder / "problems_tiny.safetensors")


if __name__ == "__main__":
    main()
