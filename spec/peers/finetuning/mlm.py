"""Masked words of full sequences.

The sequences are made here from the text: headings (" = Title = ") are left out,
those of level one begin a document; the tokens of a document run on from one
sequence to the next, with a [SEP] between two documents. BATCHES says what is
masked, in training sample by sample and in the test file once.
"""

import re
import sys

import torch
import transformers

from finetuning.common import ATTENTION, batch_of, check_equal, rows_of

NONE = -100
HEADING = re.compile(r"^\s*((?:= )+)\S.*=\s*$")


def documents_of(path, tokenizer):
    """Tokens of each document."""
    documents = [[]]
    for line in open(path, encoding="utf-8"):
        heading = HEADING.match(line)
        if heading and heading.group(1) == "= ":
            documents.append([])
        elif not heading and line.strip():
            documents[-1] += tokenizer(line.strip(), add_special_tokens=False, verbose=False)["input_ids"]
    return [tokens for tokens in documents if tokens]


def packed(documents, tokenizer, length):
    """Full sequences of documents."""
    rows, number, at = [], 0, 0
    while number < len(documents):
        row = [tokenizer.cls_token_id]
        while True:
            part = documents[number][at : at + length - 1 - len(row)]
            row, at = row + part, at + len(part)
            if at < len(documents[number]):
                break
            number, at = number + 1, 0
            # A separator that nothing would follow is left out.
            if number == len(documents) or len(row) + 3 > length:
                break
            row.append(tokenizer.sep_token_id)
        rows.append(row + [tokenizer.sep_token_id])
    return rows


class Task:
    def __init__(self, args):
        self.args, self.tokenizer = args, transformers.AutoTokenizer.from_pretrained(args.start)

    def load(self, path):
        return packed(documents_of(path, self.tokenizer), self.tokenizer, self.args.max_seq_length)

    def masked(self, sequences, data, prefix=""):
        """What BATCHES masks of the sequences: ids, types, labels; a fault if it is not of them."""
        ids, labels = (rows_of(data, prefix + name, prefix + "offsets") for name in ("ids", "labels"))
        whole = [[i if mark < 0 else mark for i, mark in zip(*rows)] for rows in zip(ids, labels)]
        check_equal("sequences", [sequences[s] for s in data[prefix + "sequences"].tolist()], whole)
        chosen = [(i, mark) for rows in zip(ids, labels) for i, mark in zip(*rows) if mark >= 0]
        hidden, kept = (sum(map(test, chosen)) / len(chosen) for test in (
            lambda c: c[0] == self.tokenizer.mask_token_id, lambda c: c[0] == c[1]))
        total = sum(map(len, ids))
        print(f"{len(ids)} samples drawn from {len(sequences)} sequences, {total} tokens, are equal; {len(chosen)} "
              f"({len(chosen) / total:.4f}) are predicted, {hidden:.3f} of them [MASK], {kept:.3f} kept",
              file=sys.stderr)
        return ids, [[0] * len(row) for row in ids], [[mark if mark >= 0 else NONE for mark in row] for row in labels]

    def check(self, sequences, data):
        if data["packed"].item() != len(sequences):
            sys.exit(f"{len(sequences)} sequences of the training file, but {data['packed'].item()} there")
        self.data, self.samples = data, self.masked(sequences, data)

    def open(self):
        return transformers.BertForMaskedLM.from_pretrained(self.args.start, attn_implementation=ATTENTION)

    def loss(self, model, _sequences, members):
        ids, types, labels = self.samples
        inputs, length = batch_of(ids, types, members)
        wanted = torch.tensor([labels[i] + [NONE] * (length - len(labels[i])) for i in members])
        return model(**inputs, labels=wanted).loss

    def save(self, model, path):
        model.save_pretrained(path)
        self.tokenizer.save_pretrained(path)

    def evaluate(self, model, sequences):
        """Means over all masked words of the test file."""
        ids, types, labels = self.masked(sequences, self.data, "test_")
        model.eval()
        loss, right, count, size = 0.0, 0, 0, 32
        with torch.inference_mode():
            for at in range(0, len(ids), size):
                members = range(at, min(at + size, len(ids)))
                inputs, length = batch_of(ids, types, members)
                wanted = torch.tensor([labels[i] + [NONE] * (length - len(labels[i])) for i in members])
                chosen = wanted != NONE
                logits, wanted = model(**inputs).logits[chosen], wanted[chosen]
                loss += float(torch.nn.functional.cross_entropy(logits, wanted, reduction="sum"))
                right += int((logits.argmax(-1) == wanted).sum())
                count += len(wanted)
        return {"mlm_loss": loss / count, "mlm_accuracy": right / count}, []
