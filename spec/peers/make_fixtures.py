#!/usr/bin/env python3
"""Golden values of a tiny BERT for the specs, from PyTorch and transformers in float64.

Writes, under spec/fixtures (or the folder given as the first argument):

  bert_tiny.json               the model's config.json
  bert_tiny.safetensors        a batch with padding, the weights, losses, logits and every gradient
  bert_tiny_steps.safetensors  ten batches, and the weights and losses after ten steps of LAMB and of AdamW

The optimizers are written out below from the papers (LAMB: arXiv 1904.00962,
AdamW: arXiv 1711.05101) and share no code with the engine. Dropout is off.
Needs torch, transformers and safetensors; the specs that read the files do not.
"""

import json
import math
import pathlib
import sys

import numpy
import torch
import transformers
from safetensors.numpy import save_file

CONFIG = {
    "architectures": ["BertForPreTraining"],
    "attention_probs_dropout_prob": 0.0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 64,
    "model_type": "bert",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 203,
}
BATCH, LENGTH, PREDICTIONS, STEPS = 4, 32, 5, 10
# The schedule is longer than ten steps, so that none of them has a learning rate of 0.
SCHEDULE = {"max_steps": 14, "warmup_proportion": 0.22, "warmup_start_lr": 1e-5}
LEARNING_RATE = {"lamb": 0.006, "adamw": 0.001}
BETA1, BETA2, EPSILON, DECAY, MAX_NORM = 0.9, 0.999, 1e-6, 0.01, 1.0


def make_model(generator):
    """A model with weights spread as after some training, exactly representable in float32."""
    config = transformers.BertConfig(**{k: v for k, v in CONFIG.items() if k != "architectures"})
    config._attn_implementation = "eager"
    model = transformers.BertForPreTraining(config).double().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            if "LayerNorm.weight" in name:
                value = 1 + 0.1 * noise
            elif name.endswith("bias"):
                value = 0.05 * noise
            elif "embeddings" in name:
                value = 0.1 * noise
            else:
                value = noise / math.sqrt(p.shape[-1])
            p.copy_(value.float().double())
    return model


def make_batch(rng):
    lengths = rng.integers(8, LENGTH + 1, size=BATCH)
    lengths[0], lengths[-1] = LENGTH, 9
    ids = numpy.zeros((BATCH, LENGTH), dtype=numpy.int32)
    types = numpy.zeros_like(ids)
    positions = numpy.zeros((BATCH, PREDICTIONS), dtype=numpy.int32)
    labels = numpy.full((BATCH, PREDICTIONS), -1, dtype=numpy.int32)
    for b, n in enumerate(lengths):
        ids[b, :n] = rng.integers(5, CONFIG["vocab_size"], size=n)
        types[b, rng.integers(3, n - 2) : n] = 1
        count = rng.integers(1, PREDICTIONS + 1)
        positions[b, :count] = numpy.sort(rng.choice(numpy.arange(1, n), size=count, replace=False))
        labels[b, :count] = rng.integers(5, CONFIG["vocab_size"], size=count)
    return {
        "input_ids": ids,
        "segment_ids": types,
        "lengths": lengths.astype(numpy.int32),
        "masked_lm_positions": positions,
        "masked_lm_labels": labels,
        "next_sentence_labels": rng.integers(0, 2, size=BATCH).astype(numpy.int32),
    }


def run(model, batch):
    """Losses and logits; the MLM logits at the masked positions, in order."""
    lengths = torch.from_numpy(batch["lengths"])
    mask = (torch.arange(LENGTH)[None, :] < lengths[:, None]).long()
    labels = torch.full((BATCH, LENGTH), -100, dtype=torch.long)
    picked = []
    for b in range(BATCH):
        for position, label in zip(batch["masked_lm_positions"][b], batch["masked_lm_labels"][b]):
            if label >= 0:
                labels[b, position] = int(label)
                picked.append((b, int(position)))
    out = model(
        input_ids=torch.from_numpy(batch["input_ids"]).long(),
        token_type_ids=torch.from_numpy(batch["segment_ids"]).long(),
        attention_mask=mask,
        labels=labels,
        next_sentence_label=torch.from_numpy(batch["next_sentence_labels"]).long(),
    )
    mlm_logits = torch.stack([out.prediction_logits[b, s] for b, s in picked])
    targets = torch.tensor([int(labels[b, s]) for b, s in picked])
    mlm_loss = torch.nn.functional.cross_entropy(mlm_logits, targets)
    return {
        "loss": out.loss,
        "mlm_loss": mlm_loss,
        "nsp_loss": out.loss - mlm_loss,
        "mlm_logits": mlm_logits,
        "nsp_logits": out.seq_relationship_logits,
    }


def learning_rate(step, peak):
    total = SCHEDULE["max_steps"]
    warmup = math.floor(SCHEDULE["warmup_proportion"] * total)
    if step <= warmup:
        start = SCHEDULE["warmup_start_lr"]
        return start + (peak - start) * step / warmup
    return peak * (1 - (step - warmup) / (total - warmup))


def decays(name):
    return not (name.endswith("bias") or "LayerNorm" in name)


def train(kind, seed, batches):
    """Ten steps in float64. Returns the weights, the loss and the gradient norm of each step."""
    model = make_model(torch.Generator().manual_seed(seed))
    parameters = dict(model.named_parameters())
    m = {name: torch.zeros_like(p) for name, p in parameters.items()}
    v = {name: torch.zeros_like(p) for name, p in parameters.items()}
    losses, norms = [], []
    for step, batch in enumerate(batches, 1):
        model.zero_grad()
        loss = run(model, batch)["loss"]
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            norm = math.sqrt(sum(p.grad.square().sum().item() for p in parameters.values()))
            norms.append(norm)
            factor = MAX_NORM / norm if norm > MAX_NORM else 1.0
            rate = learning_rate(step, LEARNING_RATE[kind])
            for name, p in parameters.items():
                g = p.grad * factor
                m[name] = BETA1 * m[name] + (1 - BETA1) * g
                v[name] = BETA2 * v[name] + (1 - BETA2) * g * g
                update = (m[name] / (1 - BETA1**step)) / ((v[name] / (1 - BETA2**step)).sqrt() + EPSILON)
                decay = DECAY if decays(name) else 0.0
                if kind == "lamb":
                    update = update + decay * p
                    weight_norm, update_norm = p.norm().item(), update.norm().item()
                    trust = weight_norm / update_norm if weight_norm > 0 and update_norm > 0 else 1.0
                    p -= rate * trust * update
                else:
                    p -= rate * decay * p
                    p -= rate * update
    return {name: p.detach() for name, p in parameters.items()}, losses, norms


def to_f32(value):
    return numpy.ascontiguousarray(torch.as_tensor(value).detach().float().numpy())


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bert_tiny.json").write_text(json.dumps(CONFIG, indent=2) + "\n")

    rng = numpy.random.default_rng(20)
    model = make_model(torch.Generator().manual_seed(7))
    batch = make_batch(rng)
    out = run(model, batch)
    out["loss"].backward()
    tensors = {"batch." + name: value for name, value in batch.items()}
    for name, value in out.items():
        tensors[name] = to_f32(value.reshape(1) if value.ndim == 0 else value)
    for name, p in model.named_parameters():
        tensors["weight." + name] = to_f32(p)
        tensors["grad." + name] = to_f32(p.grad)
    save_file(tensors, folder / "bert_tiny.safetensors")

    batches = [make_batch(rng) for _ in range(STEPS)]
    tensors = {"batch." + name: numpy.stack([b[name] for b in batches]) for name in batches[0]}
    for kind in ("lamb", "adamw"):
        weights, losses, norms = train(kind, 7, batches)
        print(kind, "losses", [round(x, 4) for x in losses], "gradient norms", [round(x, 3) for x in norms])
        tensors[kind + ".losses"] = numpy.array(losses, dtype=numpy.float32)
        tensors[kind + ".norms"] = numpy.array(norms, dtype=numpy.float32)
        for name, value in weights.items():
            tensors[kind + ".weight." + name] = to_f32(value)
    save_file(tensors, folder / "bert_tiny_steps.safetensors")


if __name__ == "__main__":
    main()
