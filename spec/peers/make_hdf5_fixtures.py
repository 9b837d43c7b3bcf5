"""Write the HDF5 fixtures of spec/fixtures/hdf5: small shards made by h5py.

nvidia.hdf5   as NVIDIA's create_pretraining_data.py writes its shards: the same
              datasets, dtypes and h5py's gzip.
wide.hdf5     the same values as int64 and uint8, as other scripts store them.
too_wide.hdf5 an id that does not fit int32.
The values follow formulas that spec/engine/data/shard_spec.lua repeats.

    python spec/peers/make_hdf5_fixtures.py
"""

import os

import h5py
import numpy as np

SAMPLES, LENGTH, SLOTS = 5, 16, 4
FOLDER = os.path.join(os.path.dirname(__file__), "..", "fixtures", "hdf5")


def features():
    out = {
        "input_ids": np.zeros([SAMPLES, LENGTH], dtype="int32"),
        "input_mask": np.zeros([SAMPLES, LENGTH], dtype="int32"),
        "segment_ids": np.zeros([SAMPLES, LENGTH], dtype="int32"),
        "masked_lm_positions": np.zeros([SAMPLES, SLOTS], dtype="int32"),
        "masked_lm_ids": np.zeros([SAMPLES, SLOTS], dtype="int32"),
        "next_sentence_labels": np.zeros(SAMPLES, dtype="int32"),
    }
    for n in range(SAMPLES):
        length = 8 + 2 * n
        for i in range(length):
            out["input_ids"][n, i] = 10 + (7 * n + 3 * i) % 80
            out["input_mask"][n, i] = 1
            out["segment_ids"][n, i] = 1 if i >= length // 2 else 0
        for k in range(min(SLOTS, n)):
            out["masked_lm_positions"][n, k] = 1 + 2 * k
            out["masked_lm_ids"][n, k] = 5 + n + k
        out["next_sentence_labels"][n] = n % 2
    return out


def write(name, dtypes, change=None):
    values = features()
    if change:
        change(values)
    with h5py.File(os.path.join(FOLDER, name), "w") as f:
        for key, dtype in dtypes.items():
            f.create_dataset(key, data=values[key], dtype=dtype, compression="gzip")


NVIDIA = {
    "input_ids": "i4",
    "input_mask": "i1",
    "segment_ids": "i1",
    "masked_lm_positions": "i4",
    "masked_lm_ids": "i4",
    "next_sentence_labels": "i1",
}
WIDE = {key: "i8" for key in NVIDIA}
WIDE.update(input_mask="u1", next_sentence_labels="i8")


def huge_id(values):
    values["input_ids"] = values["input_ids"].astype("int64")
    values["input_ids"][2, 3] = 2**40


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    write("nvidia.hdf5", NVIDIA)
    write("wide.hdf5", WIDE)
    write("too_wide.hdf5", WIDE, huge_id)
