/*
 * levels.h - the levels of CPUs that the kernels of this build were compiled
 * for. All of engine/cpu but levels.c, with the conversions and the random
 * numbers of core/ that its inner loops call, is compiled once for ARCH and,
 * where ARCH names a level of x86-64, once more for each level above it (see
 * LEVELS in the Makefile). A context takes the best that its CPU runs.
 */
#ifndef BERTLUA_CPU_LEVELS_H
#define BERTLUA_CPU_LEVELS_H

#include "core/backend.h"

/* The level that a backend was compiled for; NULL if the build has no other. */
const char *bl_cpu_level(const bl_backend *backend);

#endif
