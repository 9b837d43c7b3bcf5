#!/usr/bin/env python3
"""Tiny models as Hugging Face folders, and what transformers computes with them in float64, for spec/lua/encoder.

Writes encoder/masked_lm, encoder/classification (each saved by transformers:
model.safetensors, config.json, and the tokenizer, in the first as tokenizer.json
alone, in the second as vocab.txt) and encoder/expected.safetensors under
spec/fixtures (or the folder given as the first argument). The mean pooling is
that of sentence-transformers. Needs torch, transformers, tokenizers and
safetensors; the specs need none of them.
"""

import json
import pathlib
import shutil
import sys

import numpy
import torch
import transformers
from safetensors.numpy import save_file

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] . , ? the a cat dog house sat on in of mat film was good bad un ##seen ##s"
TEXT, SHORT, PAIR = "The [MASK] sat on the mats, unseen.", "a dog", "was it good?"


def config(**changes):
    return transformers.BertConfig(
        vocab_size=len(WORDS.split()), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=24, attn_implementation="eager", **changes)  # fmt: skip


def randomize(model, seed):
    """Values that are f32 and far enough from zero that every part shows in the results."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            mean = 1.0 if "LayerNorm.weight" in name else 0.0
            p.copy_(mean + 0.3 * torch.randn(p.shape, generator=generator))
    return model.eval()


def save(folder, model, tokenizer, files):
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if "vocab.txt" in files:
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.txt").write_text("\n".join(WORDS.split()) + "\n")
        (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}) + "\n")


def f32(x):
    return numpy.ascontiguousarray(x.detach().numpy().astype(numpy.float32))


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures") / "encoder"
    vocabulary = {word: i for i, word in enumerate(WORDS.split())}
    tokenizer = transformers.BertTokenizerFast(vocab=vocabulary, do_lower_case=True)
    model = randomize(transformers.BertForMaskedLM(config()), 1)
    save(root / "masked_lm", model, tokenizer, [])
    model = model.double()

    expected = {}
    both = tokenizer([TEXT, SHORT], padding=True, return_tensors="pt")
    hidden = model.bert(**both).last_hidden_state
    mask = both["attention_mask"][:, :, None].double()
    expected["mean"] = f32((hidden * mask).sum(1) / mask.sum(1))
    expected["cls"] = f32(hidden[:, 0])
    for name, inputs in {"text": (TEXT,), "pair": (TEXT, PAIR)}.items():
        encoded = tokenizer(*inputs, return_tensors="pt")
        out = model(**encoded, output_hidden_states=True, output_attentions=True)
        expected[name + ".ids"] = encoded["input_ids"][0].numpy().astype(numpy.int32)
        for i, state in enumerate(out.hidden_states):
            expected[f"{name}.hidden.{i}"] = f32(state[0])
        for i, weights in enumerate(out.attentions):
            expected[f"{name}.attention.{i}"] = f32(weights[0])
        if name == "text":
            at = encoded["input_ids"][0].tolist().index(vocabulary["[MASK]"])
            expected["mask_probabilities"] = f32(out.logits[0, at].softmax(-1))

    labels = {0: "bad", 1: "fair", 2: "good"}
    classifier = transformers.BertForSequenceClassification(config(id2label=labels, label2id={v: k for k, v in labels.items()}))
    classifier = randomize(classifier, 2)
    save(root / "classification", classifier, tokenizer, ["vocab.txt"])
    encoded = tokenizer("the film was good", PAIR, return_tensors="pt")
    expected["labels"] = f32(classifier.double()(**encoded).logits[0].softmax(-1))
    save_file(expected, root / "expected.safetensors")
    for path in sorted(root.rglob("*")):
        if path.is_file():
            print(path.relative_to(root), path.stat().st_size)


if __name__ == "__main__":
    main()
