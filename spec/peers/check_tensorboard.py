#!/usr/bin/env python3
"""Load a folder of our event files with the tensorboard package and print what it sees.

Usage: spec/peers/check_tensorboard.py FOLDER

Prints each scalar's tag, number of points, first and last point. Exits with 1
if the folder contains no scalars. Needs the tensorboard package; run it by hand
after changing lua/bertlua/train/tensorboard.lua.
"""

import sys

from tensorboard.backend.event_processing import event_accumulator


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    events = event_accumulator.EventAccumulator(sys.argv[1], size_guidance={event_accumulator.SCALARS: 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    for tag in sorted(tags):
        points = events.Scalars(tag)
        first, last = points[0], points[-1]
        print(f"{tag}: {len(points)} points, step {first.step} = {first.value:.6g}, "
              f"step {last.step} = {last.value:.6g}, wall time {last.wall_time:.3f}")
    if not tags:
        sys.exit(f"{sys.argv[1]}: no scalars found")


if __name__ == "__main__":
    main()
