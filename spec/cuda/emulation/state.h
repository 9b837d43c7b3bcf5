/*
 * state.h - what the emulation's C++ files share among themselves.
 */
#ifndef BERTLUA_EMULATION_STATE_H
#define BERTLUA_EMULATION_STATE_H

#include <mutex>

/* Every runtime call holds it: threads that read data ahead call in as well. */
extern std::recursive_mutex bl_emulated_mutex;

struct Guard {
    std::lock_guard<std::recursive_mutex> lock;
    Guard() : lock(bl_emulated_mutex) {
    }
};

/* Runs everything that was put into any stream. */
void bl_emulated_drain_all();
/* True (and the capture is spoilt) if this thread captures a graph, which must not hold such a call. */
bool bl_emulated_capture_forbids(const char *what);
bool bl_emulated_reachable(const void *p);

#endif
