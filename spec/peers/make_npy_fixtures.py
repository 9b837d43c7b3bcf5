#!/usr/bin/env python3
"""Files of numpy.save for the specs of bertlua.weights.npy, written under
spec/fixtures/npy (or the folder given as the first argument). Needs numpy; the
specs that read the files do not.
"""

import pathlib
import sys

import numpy

VALUES = numpy.array([[0, 0.5, -1.25, 3e-8], [1e20, -7, 0.1, 2], [3, 4, 5, 6]], dtype="<f4")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spec/fixtures/npy")
    folder.mkdir(parents=True, exist_ok=True)
    numpy.save(folder / "f32.npy", VALUES)
    numpy.save(folder / "f32_columns.npy", numpy.asfortranarray(VALUES))
    numpy.save(folder / "f16.npy", numpy.array([[1, 0.5], [-2, 65504], [6e-8, 0]], dtype="<f2"))
    numpy.save(folder / "i64.npy", numpy.array([1, -2, 2**40], dtype="<i8"))
    numpy.save(folder / "f64.npy", numpy.array([0.5, -3]))
    numpy.save(folder / "big_endian.npy", VALUES.astype(">f4"))
    with open(folder / "version2.npy", "wb") as file:
        numpy.lib.format.write_array(file, VALUES, version=(2, 0))


if __name__ == "__main__":
    main()
