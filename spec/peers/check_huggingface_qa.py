#!/usr/bin/env python3
"""Check that a fine-tuned model opens in transformers and gives the same start and end logits there.

    build/bertlua spec/peers/dump_qa_logits.lua FOLDER /tmp/logits.safetensors
    python3 spec/peers/check_huggingface_qa.py FOLDER /tmp/logits.safetensors

FOLDER is OUTPUT_DIR/BERT_MODEL/squad of recipes/finetune_squad.lua, or one of
its checkpoints. Fails if a key is missing or unexpected, or if a logit of a
real token differs by more than 2e-4 of the largest.
Needs torch, transformers and safetensors.
"""

import sys

import torch
import transformers
from safetensors.torch import load_file

TOLERANCE = 2e-4


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, dump = sys.argv[1:]
    expected = load_file(dump)
    model, report = transformers.BertForQuestionAnswering.from_pretrained(folder, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            sys.exit(f"{kind}: {sorted(report[kind])}")
    print("no missing, unexpected or mismatched keys")
    mask = expected["attention_mask"]
    with torch.no_grad():
        out = model.eval()(
            input_ids=expected["input_ids"].long(),
            token_type_ids=expected["token_type_ids"].long(),
            attention_mask=mask.long(),
        )
    failed = False
    for name in ("start_logits", "end_logits"):
        theirs, ours = out[name][mask.bool()], expected[name][mask.bool()]
        difference = (theirs - ours).abs().max().item()
        scale = theirs.abs().max().item()
        print(f"{name}: max difference {difference:.3g}, largest value {scale:.3g}, relative {difference / scale:.3g}")
        failed = failed or not difference <= TOLERANCE * scale
    if failed:
        sys.exit(f"logits differ by more than {TOLERANCE:g} of the largest")


if __name__ == "__main__":
    main()
