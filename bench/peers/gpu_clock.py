"""Seconds on the GPU, for the peers that time kernels: the counterpart of bench/gpu_clock.lua."""

import json
import sys

import torch


def seconds_of(work, least):
    """Seconds per call of work, from events around enough back-to-back calls to last `least` seconds."""
    calls = 1
    while True:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(calls):
            work()
        end.record()
        end.synchronize()
        seconds = begin.elapsed_time(end) / 1e3
        if seconds >= least:
            return seconds / calls
        calls = max(calls + 1, min(10 * calls, int(1.2 * calls * least / max(seconds, 1e-9)) + 1))


def report(work_of):
    """Time the cases of the command line, CASES ROUNDS SECONDS, and print the seconds of each as one JSON line.

    work_of turns a case's values into the calls to time, by name; the best of ROUNDS counts.
    """
    cases, rounds, least = json.loads(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    torch.manual_seed(1)
    result = []
    for case in cases:
        work = work_of(*case)
        best = {}
        for call in work.values():
            call()
        for _ in range(rounds):
            for kind, call in work.items():
                best[kind] = min(best.get(kind, float("inf")), seconds_of(call, least))
        result.append(best)
        del work
        torch.cuda.empty_cache()
    print(json.dumps({"seconds": result, "version": torch.__version__, "device": torch.cuda.get_device_name()}))
