#!/usr/bin/env python3
"""Check the losses of masked batches and the pseudo-perplexity against transformers.

    build/bertlua spec/peers/dump_masked.lua FOLDER TEXT OUT.jsonl
    python spec/peers/check_masked.py FOLDER OUT.jsonl

Opens FOLDER with BertForMaskedLM and computes the mean cross-entropy of each batch and the pseudo-perplexity of the
sentences, one forward pass a token. Also checks that masks cover whole words and about 15 % of the tokens.
"""

import json
import math
import sys

import torch
import transformers

folder, path = sys.argv[1:3]
model, report = transformers.BertForMaskedLM.from_pretrained(folder, output_loading_info=True)
assert not report["missing_keys"] and not report["unexpected_keys"], report
model.eval()
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
pieces = {i for token, i in tokenizer.get_vocab().items() if token.startswith("##")}

*batches, last = [json.loads(line) for line in open(path, encoding="utf-8")]
worst, broken, masked, total = 0.0, 0, 0, 0
for batch in batches:
    length = max(map(len, batch["ids"]))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in batch["ids"]])
    labels = torch.tensor([row + [-100] * (length - len(row)) for row in batch["labels"]])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in batch["ids"]])
    with torch.no_grad():
        loss = float(model(ids, attention_mask=mask, labels=labels).loss)
    worst = max(worst, abs(loss - batch["mlm_loss"]))
    for row, wanted in zip(batch["ids"], batch["labels"]):
        total += len(row)
        masked += sum(label >= 0 for label in wanted)
        original = [label if label >= 0 else i for i, label in zip(row, wanted)]
        for at in range(2, len(row) - 1):
            broken += original[at] in pieces and (wanted[at] >= 0) != (wanted[at - 1] >= 0)

cls, sep, hidden = (tokenizer.convert_tokens_to_ids(t) for t in ("[CLS]", "[SEP]", "[MASK]"))
nll, count = 0.0, 0
for sentence in last["sentences"]:
    ids = torch.tensor([[cls, *sentence, sep]] * len(sentence))
    rows = torch.arange(len(sentence))
    ids[rows, rows + 1] = hidden
    with torch.no_grad():
        scores = model(ids).logits[rows, rows + 1].log_softmax(-1)
    nll -= float(scores[rows, torch.tensor(sentence)].sum())
    count += len(sentence)
ratio = math.exp(nll / count) / last["pseudo_perplexity"]
print(f"{len(batches)} batches: losses differ by at most {worst:.2g}; {masked / total:.4f} masked, {broken} broken words; "
      f"pseudo-perplexity {last['pseudo_perplexity']:.4f}, transformers' {ratio - 1:+.1g} of it")
sys.exit(1 if worst > 1e-4 or broken or abs(masked / total - 0.15) > 0.01 or abs(ratio - 1) > 1e-4 else 0)
