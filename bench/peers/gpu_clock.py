"""Seconds on the GPU, for the peers that time kernels: the like of bench/gpu_clock.lua."""

import torch


def seconds_of(work, least):
    """Seconds of one call of work, from events around enough calls back to back to last `least` seconds."""
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
