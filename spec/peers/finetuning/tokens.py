"""Words with a tag each, which stands at the word's first piece.

A sentence of more pieces than fit becomes several windows. transformers'
tokenizer cuts after so many pieces, in the midst of a word too, and leaves open
which window answers for a word that several contain; so the windows are made
here, from its pieces: each begins doc_stride pieces after the one before it, or
up to a word less, where a word begins, and a word is tagged in the window that
has most pieces on its nearer side.
"""

import numpy as np
import torch
import transformers

from finetuning.common import ATTENTION, batch_of, check_equal, infer, rows_of, tell_equal

NONE = -100


def read_words(path):
    """Sentences of a CoNLL file: lists of words and of tags."""
    words, tags, ended = [], [], True
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\r\n")
        if not line.strip():
            ended = True
            continue
        if ended:
            words.append([])
            tags.append([])
            ended = False
        word, tag = line.split("\t")
        words[-1].append(word)
        tags[-1].append(tag)
    return words, tags


def windows_of(lengths, room, stride):
    """Windows [from, to) of a sentence whose words have so many pieces."""
    starts = np.cumsum([0, *lengths]).tolist()
    total, begins, windows, begin = starts[-1], set(starts[:-1]), [], 0
    while True:
        windows.append((begin, min(total, begin + room)))
        if begin + room >= total:
            return windows
        back = [p for p in range(begin + 1, begin + stride + 1) if p in begins]
        begin = back[-1] if back else min(p for p in begins if p > begin + stride)


def answering(windows, first, last):
    """The window that tags a word of the pieces first to last."""
    context = lambda w: min(first - windows[w][0], windows[w][1] - 1 - last)
    return max((w for w, (a, b) in enumerate(windows) if a <= first < b), key=lambda w: (context(w), -w))


class Task:
    def __init__(self, args):
        self.args, self.tokenizer = args, transformers.AutoTokenizer.from_pretrained(args.start)
        self.numbers = transformers.AutoConfig.from_pretrained(args.start).label2id

    def pieces(self, sentence, room):
        known = self.known
        for word in sentence:
            if word not in known:
                tokens = self.tokenizer.tokenize(word) or [self.tokenizer.unk_token]
                known[word] = self.tokenizer.convert_tokens_to_ids(tokens)
        return [known[word][:room] for word in sentence]

    def load(self, path):
        """Windows; and in self.owners the sentence and the words that each of them answers for."""
        self.known, self.owners = {}, []
        self.words, self.tags = read_words(path)
        tokenizer, room, ids, labels = self.tokenizer, self.args.max_seq_length - 2, [], []
        for number, (sentence, tags) in enumerate(zip(self.words, self.tags)):
            pieces = self.pieces(sentence, room)
            flat, lengths = sum(pieces, []), [len(p) for p in pieces]
            windows = windows_of(lengths, room, self.args.doc_stride)
            marks = [[NONE] * (b - a) for a, b in windows]
            owned, first = [[] for _ in windows], 0
            for w, (length, tag) in enumerate(zip(lengths, tags)):
                window = answering(windows, first, first + length - 1)
                marks[window][first - windows[window][0]] = self.numbers[tag]
                owned[window].append(w)
                first += length
            for (a, b), row in zip(windows, marks):
                ids.append([tokenizer.cls_token_id, *flat[a:b], tokenizer.sep_token_id])
                labels.append([NONE, *row, NONE])
            self.owners += [(number, words) for words in owned]
        return ids, [[0] * len(row) for row in ids], labels

    def check(self, features, data):
        ids, _, labels = features
        check_equal("sequences", ids, rows_of(data, "ids", "offsets"))
        plain = [[-1 if mark == NONE else mark for mark in row] for row in labels]
        check_equal("labels", plain, rows_of(data, "labels", "offsets"))
        tell_equal(ids, f"windows of {len(self.words)} sentences")

    def open(self):
        model = transformers.AutoModelForTokenClassification
        return model.from_pretrained(self.args.start, attn_implementation=ATTENTION)

    def loss(self, model, features, members):
        ids, types, labels = features
        inputs, length = batch_of(ids, types, members)
        wanted = torch.tensor([labels[i] + [NONE] * (length - len(labels[i])) for i in members])
        return torch.nn.functional.cross_entropy(model(**inputs).logits.flatten(0, 1), wanted.flatten())

    def save(self, model, path):
        model.save_pretrained(path)
        self.tokenizer.save_pretrained(path)

    def evaluate(self, model, features):
        from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score

        ids, types, labels = features
        tags = [[None] * len(sentence) for sentence in self.words]
        scores = [[None] * len(sentence) for sentence in self.words]

        def visit(members, logits, _mask):
            for i, rows in zip(members, logits.double().softmax(-1).numpy()):
                sentence, words = self.owners[i]
                marked = rows[: len(labels[i])][np.array(labels[i]) != NONE]
                for w, row in zip(words, marked):
                    tags[sentence][w] = model.config.id2label[int(row.argmax())]
                    scores[sentence][w] = float(row.max())

        infer(model, ids, types, visit)
        records = [{"words": w, "tags": t, "scores": s} for w, t, s in zip(self.words, tags, scores)]
        figures = {"f1": f1_score, "precision": precision_score, "recall": recall_score, "accuracy": accuracy_score}
        return {name: float(function(self.tags, tags)) for name, function in figures.items()}, records
