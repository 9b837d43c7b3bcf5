/*
 * weights.h - matrices of a model's layers, made ready for the CPU's products.
 */
#ifndef BERTLUA_ENCODER_WEIGHTS_H
#define BERTLUA_ENCODER_WEIGHTS_H

#include "encoder/model.h"

/*
 * Pack the parts of a matrix, each [rows, columns] of one dtype without gaps, one
 * below the other. *out is NULL where it gains nothing. mapped: the places are in
 * a file's mapping, whose pages need no memory then until something else reads them.
 * *joined is a buffer for several parts, made or grown here and freed by the caller:
 * memory that is new costs as much as packing does.
 */
bl_status bl_weights_pack(bl_context *ctx, bl_packed **out, bl_buffer **joined, void *const *places, int32_t parts,
                          bool mapped, int32_t dtype, const int64_t shape[2]);

#endif
