#!/usr/bin/env python3
"""Golden values of a tiny BertForTokenClassification for the specs, from PyTorch and transformers in float64.

Writes tokens_tiny.safetensors under spec/fixtures (or the folder given as the
first argument): labels for the batch of make_classification_fixtures.py, the
head's weights, logits, the loss and the gradients of the head, the vectors and
one matrix. The encoder's weights and the batch are those of
classification_tiny.safetensors. Dropout is off.
Needs torch, transformers and safetensors; the specs that read the file do not.
"""

import pathlib
import sys

import numpy
import torch
import transformers
from make_classification_fixtures import make_batch
from make_fixtures import CONFIG, LENGTH, make_model, to_f32
from safetensors.numpy import save_file

LABELS = 5


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures")
    generator = torch.Generator().manual_seed(12)
    encoder = make_model(generator).bert
    config = transformers.BertConfig(**{k: v for k, v in CONFIG.items() if k != "architectures"}, num_labels=LABELS)
    config._attn_implementation = "eager"
    model = transformers.BertForTokenClassification(config).double().eval()
    state = {k: v for k, v in encoder.state_dict().items() if not k.startswith("pooler.")}
    model.bert.load_state_dict(state)
    with torch.no_grad():
        for p in model.classifier.parameters():
            p.copy_((0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64)).float().double())
    batch = make_batch(numpy.random.default_rng(22))
    mask = torch.arange(LENGTH)[None] < torch.tensor(batch["lengths"])[:, None]
    rng = numpy.random.default_rng(23)
    labels = rng.integers(0, LABELS, size=batch["input_ids"].shape).astype(numpy.int32)
    # Some tokens go on a word, and so have no label.
    labels[(rng.random(labels.shape) < 0.3) | ~mask.numpy()] = -1
    out = model(
        input_ids=torch.tensor(batch["input_ids"]).long(),
        token_type_ids=torch.tensor(batch["segment_ids"]).long(),
        attention_mask=mask.long(),
        labels=torch.where(torch.tensor(labels) < 0, -100, torch.tensor(labels)).long(),
    )
    out.loss.backward()
    tensors = {"labels": labels, "loss": to_f32(out.loss.reshape(1)), "logits": to_f32(out.logits)}
    for name, p in model.named_parameters():
        if name.startswith("classifier."):
            tensors["weight." + name] = to_f32(p)
        if p.dim() == 1 or name.startswith("classifier.") or name.endswith("layer.0.attention.self.value.weight"):
            tensors["grad." + name] = to_f32(p.grad)
    save_file(tensors, folder / "tokens_tiny.safetensors")
    print("loss", out.loss.item())


if __name__ == "__main__":
    main()
