"""PyTorch's side of bench/gpu_pretrain.lua: the same model, lengths and masked words, one process per measurement.

The argument is the JSON job of bench/gpu_worker.lua. Hugging Face's models
with SDPA, torch.compile and bf16 autocast, fused AdamW, gradients clipped to
norm 1; sequences are padded, with an attention mask where they are not full.
Prints one JSON line: {"seconds": [...], "loss": ..., "version": ...}.
"""

import json
import sys
import time

import torch
from transformers import BertConfig, BertForPreTraining, BertForQuestionAnswering


def make_inputs(job, config, device):
    lengths, width = job["lengths"], job["max_length"]
    count = len(lengths)
    ids = torch.randint(config.vocab_size, (count, width))
    types = torch.zeros(count, width, dtype=torch.long)
    mask = torch.zeros(count, width, dtype=torch.long)
    positions, starts, ends = [], [], []
    for b, length in enumerate(lengths):
        types[b, length // 2 : length] = 1
        mask[b, :length] = 1
        starts.append(1)
        ends.append(length - 2)
        if job.get("max_predictions"):
            masked = min(job["max_predictions"], max(1, int(length * 0.15 + 0.5)))
            positions += [b * width + 1 + k * (length - 2) // masked for k in range(masked)]
    inputs = {"ids": ids, "types": types, "positions": torch.tensor(positions, dtype=torch.long)}
    inputs["labels"] = torch.randint(config.vocab_size, (len(positions),))
    inputs["next_labels"] = torch.randint(2, (count,))
    inputs["starts"], inputs["ends"] = torch.tensor(starts), torch.tensor(ends)
    if min(lengths) < width:
        inputs["mask"] = mask
    return {name: value.to(device) for name, value in inputs.items()}


def pretraining_loss(model, inputs):
    hidden, pooled = model.bert(
        inputs["ids"], attention_mask=inputs.get("mask"), token_type_ids=inputs["types"], return_dict=False
    )
    words = model.cls.predictions(hidden.flatten(0, 1)[inputs["positions"]])
    following = model.cls.seq_relationship(pooled)
    loss = torch.nn.functional.cross_entropy(words.float(), inputs["labels"])
    return loss + torch.nn.functional.cross_entropy(following.float(), inputs["next_labels"])


def squad_loss(model, inputs):
    return model(
        inputs["ids"],
        attention_mask=inputs.get("mask"),
        token_type_ids=inputs["types"],
        start_positions=inputs["starts"],
        end_positions=inputs["ends"],
    ).loss


def main():
    job = json.loads(sys.argv[1])
    device = torch.device(job["device"])
    torch.manual_seed(1)
    config = BertConfig.from_json_file(job["config_file"])
    config._attn_implementation = "sdpa"
    pretraining = bool(job.get("max_predictions"))
    model = (BertForPreTraining if pretraining else BertForQuestionAnswering)(config).to(device)
    training = job["kind"] == "train"
    model.train(training)
    inputs = make_inputs(job, config, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True) if training else None
    low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(job["precision"])
    forward = torch.compile(pretraining_loss if pretraining else squad_loss)

    def synchronize():
        if device.type == "cuda":
            torch.cuda.synchronize()

    def train_step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=low, enabled=low is not None):
            loss = forward(model, inputs)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    answer = torch.compile(lambda: model(inputs["ids"], attention_mask=inputs.get("mask"), token_type_ids=inputs["types"]))

    def answer_step():
        with torch.inference_mode(), torch.autocast(device.type, dtype=low, enabled=low is not None):
            scores = answer()
        return (scores.start_logits.float().cpu() + scores.end_logits.float().cpu()).mean()

    step, seconds, last = (train_step if training else answer_step), [], None
    for i in range(job["warmup"] + job["steps"]):
        synchronize()
        begun = time.monotonic()
        last = step()
        synchronize()
        if i >= job["warmup"]:
            seconds.append(time.monotonic() - begun)
    version = torch.__version__ + (f", {torch.cuda.get_device_name()}" if device.type == "cuda" else ", CPU")
    print(json.dumps({"seconds": seconds, "loss": last.item(), "version": version}))


main()
