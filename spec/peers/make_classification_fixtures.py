#!/usr/bin/env python3
"""Golden values of a tiny BertForSequenceClassification for the specs, from PyTorch and transformers in float64.

Writes classification_tiny.safetensors under spec/fixtures (or the folder given
as the first argument): a batch of padded pairs, the weights, logits, the loss
and every gradient. The model's shape is bert_tiny.json of make_fixtures.py, with
three labels. Dropout is off.
Needs torch, transformers and safetensors; the specs that read the file do not.
"""

import pathlib
import sys

import numpy
import torch
import transformers
from make_fixtures import BATCH, CONFIG, LENGTH, make_model, to_f32
from safetensors.numpy import save_file

LABELS = 3


def make_classifier(generator):
    """The tiny encoder of the other fixtures with a classification head."""
    encoder = make_model(generator).bert
    config = transformers.BertConfig(
        **{k: v for k, v in CONFIG.items() if k != "architectures"}, num_labels=LABELS)
    config._attn_implementation = "eager"
    model = transformers.BertForSequenceClassification(config).double().eval()
    model.bert.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        for p in model.classifier.parameters():
            p.copy_((0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64)).float().double())
    return model


def make_batch(rng):
    lengths = numpy.array([LENGTH, 23, 17, 9], dtype=numpy.int32)[:BATCH]
    ids = numpy.zeros((BATCH, LENGTH), dtype=numpy.int32)
    types = numpy.zeros_like(ids)
    for b, n in enumerate(lengths):
        ids[b, :n] = rng.integers(5, CONFIG["vocab_size"], size=n)
        types[b, 2 + n // 3 : n] = 1
    labels = rng.integers(0, LABELS, size=BATCH).astype(numpy.int32)
    return {"input_ids": ids, "segment_ids": types, "lengths": lengths, "labels": labels}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures")
    model = make_classifier(torch.Generator().manual_seed(12))
    batch = make_batch(numpy.random.default_rng(22))
    mask = torch.arange(LENGTH)[None] < torch.tensor(batch["lengths"])[:, None]
    out = model(
        input_ids=torch.tensor(batch["input_ids"]).long(),
        token_type_ids=torch.tensor(batch["segment_ids"]).long(),
        attention_mask=mask.long(),
        labels=torch.tensor(batch["labels"]).long(),
    )
    out.loss.backward()
    tensors = {"batch." + name: value for name, value in batch.items()}
    tensors["loss"], tensors["logits"] = to_f32(out.loss.reshape(1)), to_f32(out.logits)
    for name, p in model.named_parameters():
        tensors["weight." + name] = to_f32(p)
        tensors["grad." + name] = to_f32(p.grad)
    save_file(tensors, folder / "classification_tiny.safetensors")
    print("loss", out.loss.item())


if __name__ == "__main__":
    main()
