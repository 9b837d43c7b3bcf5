#!/usr/bin/env python3
"""Golden values of a tiny BertForQuestionAnswering for the specs, from PyTorch and transformers in float64.

Writes qa_tiny.safetensors under spec/fixtures (or the folder given as the
first argument): a batch of padded questions, the weights, logits, the loss and
every gradient. The model's shape is bert_tiny.json of make_fixtures.py.
The softmax of the loss is over the real tokens: padding gets minus infinity,
whereas transformers itself includes it. Dropout is off.
Needs torch, transformers and safetensors; the specs that read the file do not.
"""

import pathlib
import sys

import numpy
import torch
import transformers
from make_fixtures import BATCH, CONFIG, LENGTH, make_model, to_f32
from safetensors.numpy import save_file


def make_qa_model(generator):
    """The tiny encoder of the other fixtures with a question-answering head."""
    encoder = make_model(generator).bert
    config = transformers.BertConfig(**{k: v for k, v in CONFIG.items() if k != "architectures"})
    config._attn_implementation = "eager"
    model = transformers.BertForQuestionAnswering(config).double().eval()
    model.bert.load_state_dict({k: v for k, v in encoder.state_dict().items() if not k.startswith("pooler.")})
    with torch.no_grad():
        for p in model.qa_outputs.parameters():
            p.copy_((0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64)).float().double())
    return model


def make_batch(rng):
    lengths = numpy.array([LENGTH, 23, 17, 9], dtype=numpy.int32)[:BATCH]
    ids = numpy.zeros((BATCH, LENGTH), dtype=numpy.int32)
    types = numpy.zeros_like(ids)
    starts, ends = numpy.zeros(BATCH, dtype=numpy.int32), numpy.zeros(BATCH, dtype=numpy.int32)
    for b, n in enumerate(lengths):
        question = 2 + n // 4
        ids[b, :n] = rng.integers(5, CONFIG["vocab_size"], size=n)
        types[b, question:n] = 1
        if b != 2:  # the third window does not contain the answer: 0, 0
            starts[b] = rng.integers(question, n - 1)
            ends[b] = rng.integers(starts[b], n - 1)
    return {"input_ids": ids, "segment_ids": types, "lengths": lengths, "starts": starts, "ends": ends}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures")
    model = make_qa_model(torch.Generator().manual_seed(11))
    batch = make_batch(numpy.random.default_rng(21))
    mask = torch.arange(LENGTH)[None] < torch.tensor(batch["lengths"])[:, None]
    out = model(
        input_ids=torch.tensor(batch["input_ids"]).long(),
        token_type_ids=torch.tensor(batch["segment_ids"]).long(),
        attention_mask=mask.long(),
    )
    loss = 0
    for logits, gold in ((out.start_logits, "starts"), (out.end_logits, "ends")):
        real = logits.masked_fill(~mask, float("-inf"))
        loss = loss + torch.nn.functional.cross_entropy(real, torch.tensor(batch[gold]).long()) / 2
    loss.backward()
    tensors = {"batch." + name: value for name, value in batch.items()}
    tensors["loss"] = to_f32(loss.reshape(1))
    tensors["start_logits"], tensors["end_logits"] = to_f32(out.start_logits), to_f32(out.end_logits)
    for name, p in model.named_parameters():
        tensors["weight." + name] = to_f32(p)
        tensors["grad." + name] = to_f32(p.grad)
    save_file(tensors, folder / "qa_tiny.safetensors")
    print("loss", loss.item())


if __name__ == "__main__":
    main()
