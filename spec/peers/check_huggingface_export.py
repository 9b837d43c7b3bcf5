#!/usr/bin/env python3
"""Check that a saved model opens in transformers and gives the same logits there.

    build/bertlua spec/peers/dump_logits.lua FOLDER /tmp/logits.safetensors
    python3 spec/peers/check_huggingface_export.py FOLDER /tmp/logits.safetensors

FOLDER is a checkpoint (config.json, model.safetensors). Fails if a key is
missing or unexpected, or if a logit differs by more than 2e-4 of the largest.
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
    model, report = transformers.BertForPreTraining.from_pretrained(folder, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            sys.exit(f"{kind}: {sorted(report[kind])}")
    print("no missing, unexpected or mismatched keys")
    with torch.no_grad():
        mask = expected["attention_mask"]
        out = model.eval()(
            input_ids=expected["input_ids"].long(),
            token_type_ids=expected["token_type_ids"].long(),
            attention_mask=mask.long(),
        )
    failed = False
    for name in ("prediction_logits", "seq_relationship_logits"):
        theirs, ours = out[name], expected[name]
        if name == "prediction_logits":
            theirs, ours = theirs[mask.bool()], ours[mask.bool()]
        difference = (theirs - ours).abs().max().item()
        scale = theirs.abs().max().item()
        print(f"{name}: max difference {difference:.3g}, largest value {scale:.3g}, relative {difference / scale:.3g}")
        failed = failed or not difference <= TOLERANCE * scale
    if failed:
        sys.exit(f"logits differ by more than {TOLERANCE:g} of the largest")


if __name__ == "__main__":
    main()
