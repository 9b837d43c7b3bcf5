/*
 * weights.h - matrices of a model's layers, made ready for the CPU's products.
 */
#ifndef BERTLUA_ENCODER_WEIGHTS_H
#define BERTLUA_ENCODER_WEIGHTS_H

#include "encoder/model.h"

/* Bytes that a file's mapping holds, of which no more is read: its pages need no memory until they are. */
typedef struct bl_weight_place {
    const void *data;
    size_t bytes;
    bool mapped;
} bl_weight_place;

/*
 * Pack the parts of a matrix, each [rows, columns] of one dtype, one below the
 * other. *out is NULL where it gains nothing. scales: f32 [rows * parts] of int8
 * parts, else NULL.
 */
bl_status bl_weights_pack(bl_context *ctx, bl_packed **out, const bl_weight_place *places, int32_t parts, int32_t dtype,
                          const int64_t shape[2], const bl_tensor *scales);

#endif
