/*
 * softmax.h - maximum and sum of exponentials of a row of any activation
 * dtype, in one pass over memory.
 */
#ifndef BERTLUA_CPU_SOFTMAX_H
#define BERTLUA_CPU_SOFTMAX_H

#include <stdint.h>

/* Largest of n >= 1 values; NaN is passed over. */
float bl_row_max(const float *row, int64_t n);

/* sum of exp(row[i] - *max) over elements [offset, offset + n), and the maximum (cpu/softmax.c). */
double bl_row_exp_sum(const void *base, int32_t dtype, int64_t offset, int64_t n, float *max);

#endif
