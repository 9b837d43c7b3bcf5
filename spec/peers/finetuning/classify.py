"""Texts, or pairs of texts, with a label each: a class, or a number."""

import numpy as np
import torch
import transformers

from finetuning.common import ATTENTION, batch_of, check_equal, infer, read_table, rows_of, tell_equal


class Task:
    def __init__(self, args):
        self.args, self.tokenizer = args, transformers.AutoTokenizer.from_pretrained(args.start)
        config = transformers.AutoConfig.from_pretrained(args.start)
        self.numbers, self.regression = config.label2id, config.num_labels == 1

    def load(self, path):
        args = self.args
        texts, pairs, labels = read_table(path, [args.text_column, args.pair_column, args.label_column])
        ids = self.tokenizer(texts, pairs, truncation="longest_first", max_length=args.max_seq_length)
        self.texts = texts
        numbers = [float(label) if self.regression else self.numbers[label] for label in labels]
        return ids["input_ids"], ids["token_type_ids"], numbers

    def check(self, features, data):
        ids, _, numbers = features
        check_equal("sequences", ids, rows_of(data, "ids", "offsets"))
        check_equal("labels", numbers, data["labels"].tolist(), lambda a, b: abs(a - b) < 1e-6)
        tell_equal(ids, "sequences")

    def open(self):
        model = transformers.AutoModelForSequenceClassification
        return model.from_pretrained(self.args.start, attn_implementation=ATTENTION)

    def loss(self, model, features, members):
        ids, types, numbers = features
        inputs, _ = batch_of(ids, types, members)
        logits, wanted = model(**inputs).logits, [numbers[i] for i in members]
        if self.regression:
            return torch.nn.functional.mse_loss(logits.squeeze(-1), torch.tensor(wanted, dtype=torch.float))
        return torch.nn.functional.cross_entropy(logits, torch.tensor(wanted))

    def save(self, model, path):
        model.save_pretrained(path)
        self.tokenizer.save_pretrained(path)

    def evaluate(self, model, features):
        from scipy.stats import pearsonr, spearmanr
        from sklearn.metrics import accuracy_score, f1_score

        ids, types, gold = features
        results = [None] * len(ids)

        def visit(members, logits, _mask):
            for i, row in zip(members, logits):
                results[i] = row.double().numpy()

        infer(model, ids, types, visit)
        if self.regression:
            values = [float(r[0]) for r in results]
            records = [{"text": t, "value": v} for t, v in zip(self.texts, values)]
            return {"pearson": float(pearsonr(values, gold)[0]), "spearman": float(spearmanr(values, gold)[0])}, records
        names, best = model.config.id2label, [int(r.argmax()) for r in results]
        records = [
            {"text": t, "label": names[b], "score": float(np.exp(r - r.max())[b] / np.exp(r - r.max()).sum())}
            for t, r, b in zip(self.texts, results, best)
        ]
        return {"accuracy": accuracy_score(gold, best), "macro_f1": f1_score(gold, best, average="macro")}, records
