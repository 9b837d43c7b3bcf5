"""What the tasks of spec/peers/finetune_peer.py share: columns of tables, batches, checks of features."""

import csv
import sys

import torch

ATTENTION = "sdpa"


def read_table(path, columns):
    """Columns of a CSV file, each a list; None for None. They are names, or numbers from 1 without a header line."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if any(c is not None and not c.isdigit() for c in columns):
        header, rows = rows[0], rows[1:]
        places = [c and header.index(c) for c in columns]
    else:
        places = [c and int(c) - 1 for c in columns]
    return [None if place is None else [row[place] for row in rows] for place in places]


def batch_of(ids, types, members):
    """Sequences padded to the longest of them, and its length."""
    length = max(len(ids[i]) for i in members)
    pad = lambda rows, i: rows[i] + [0] * (length - len(rows[i]))
    tensor = lambda rows: torch.tensor([pad(rows, i) for i in members])
    mask = torch.tensor([[1] * len(ids[i]) + [0] * (length - len(ids[i])) for i in members])
    return {"input_ids": tensor(ids), "token_type_ids": tensor(types), "attention_mask": mask}, length


def rows_of(data, name, offsets):
    """A tensor of BATCHES with an entry for each token, as lists, sequence by sequence."""
    values, offsets = data[name].tolist(), data[offsets].tolist()
    return [values[a:b] for a, b in zip(offsets, offsets[1:])]


def check_equal(what, theirs, ours, same=lambda a, b: a == b):
    """Features made here must be those in BATCHES, one by one."""
    if len(theirs) != len(ours):
        sys.exit(f"{len(theirs)} {what}, but {len(ours)} in the batches")
    for i, (a, b) in enumerate(zip(theirs, ours)):
        if not same(a, b):
            sys.exit(f"number {i} of the {what} differs: {a}, but {b} in the batches")


def tell_equal(ids, what):
    print(f"{len(ids)} {what} of {sum(map(len, ids))} tokens and their labels are equal", file=sys.stderr)


def infer(model, ids, types, visit, size=32):
    """Call visit(members, logits, attention mask) for batches of sequences of like length."""
    model.eval()
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    with torch.inference_mode():
        for at in range(0, len(order), size):
            members = order[at : at + size]
            inputs, _ = batch_of(ids, types, members)
            visit(members, model(**inputs).logits, inputs["attention_mask"])
