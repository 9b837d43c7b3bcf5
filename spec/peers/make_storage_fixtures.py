#!/usr/bin/env python3
"""Make spec/fixtures/storage_types.safetensors: one tensor of each dtype.

Written by the reference implementation of the format (packages safetensors and
torch), so that the specs check reading what it writes and writing the same bytes.
Run from the repository's root; the result is committed.
"""

import torch
from safetensors.torch import save_file


def main():
    values = [0.0, -1.5, 3.25, 60000.0, 1e-7, 0.1]
    tensors = {
        "f64": torch.tensor(values, dtype=torch.float64).reshape(2, 3),
        "f32": torch.tensor(values, dtype=torch.float32).reshape(2, 3),
        "f16": torch.tensor(values, dtype=torch.float16).reshape(2, 3),
        "bf16": torch.tensor(values, dtype=torch.bfloat16).reshape(2, 3),
        "i64": torch.tensor([-(2**40), 0, 7], dtype=torch.int64),
        "i32": torch.tensor([-70000, 0, 7], dtype=torch.int32),
        "i16": torch.tensor([-300, 0, 7], dtype=torch.int16),
        "i8": torch.tensor([-128, 0, 127], dtype=torch.int8),
        "u8": torch.tensor([0, 7, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
    }
    save_file(tensors, "spec/fixtures/storage_types.safetensors", metadata={"format": "pt"})
    plain = {name: tensors[name] for name in ("f32", "bf16", "f16", "i64", "i32", "i8", "scalar")}
    save_file(plain, "spec/fixtures/storage_plain.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
