"""Write the HDF5 fixtures of spec/fixtures/hdf5: small shards made by h5py.

nvidia.hdf5   as NVIDIA's create_pretraining_data.py writes its shards: the same
              datasets, dtypes and h5py's gzip.
wide.hdf5     the same values as int64 and uint8, as other scripts store them.
too_wide.hdf5 an id that does not fit int32.
refused/*.hdf5 input_ids in another file, elsewhere, never written, or behind a
              filter that is not part of HDF5.
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


def write_otherwise(name, make):
    """A shard whose input_ids is what make(file, ids) puts there; the other datasets are plain."""
    values = features()
    with h5py.File(os.path.join(FOLDER, name), "w", libver=("v110", "v110")) as f:
        for key, dtype in NVIDIA.items():
            if key != "input_ids":
                f.create_dataset(key, data=values[key], dtype=dtype)
        make(f, values["input_ids"])


def external_link(f, ids):
    f["input_ids"] = h5py.ExternalLink("../nvidia.hdf5", "/input_ids")


def soft_link(f, ids):
    f["ids"] = ids
    f["input_ids"] = h5py.SoftLink("/ids")


def external_storage(f, ids):
    f.create_dataset("input_ids", ids.shape, "i4", external=[("../nvidia.hdf5", 0, h5py.h5f.UNLIMITED)])


def virtual(f, ids):
    layout = h5py.VirtualLayout(ids.shape, "i4")
    layout[:] = h5py.VirtualSource("../nvidia.hdf5", "input_ids", ids.shape)
    f.create_virtual_dataset("input_ids", layout)


def unallocated_chunk(f, ids):
    f.create_dataset("input_ids", ids.shape, "i4", chunks=(3, LENGTH))[:3] = ids[:3]


def unallocated(f, ids):
    f.create_dataset("input_ids", ids.shape, "i4")


def plugin(f, ids):
    f.create_dataset("input_ids", data=ids, compression="lzf")


if __name__ == "__main__":
    os.makedirs(os.path.join(FOLDER, "refused"), exist_ok=True)
    write("nvidia.hdf5", NVIDIA)
    write("wide.hdf5", WIDE)
    write("too_wide.hdf5", WIDE, huge_id)
    for make in [external_link, soft_link, external_storage, virtual, unallocated_chunk, unallocated, plugin]:
        write_otherwise(os.path.join("refused", make.__name__ + ".hdf5"), make)
