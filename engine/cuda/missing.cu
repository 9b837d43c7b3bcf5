/*
 * missing.cu - ops that have no kernel yet answer so. An op that gets its
 * kernel loses its function here.
 */
#include "cuda/cuda.h"

static bl_status missing(const char *op) {
    return bl_fail(BL_ERROR_UNSUPPORTED, "%s: not available on the cuda backend", op);
}

bl_status bl_cuda_attention_forward(bl_context *, bl_tensor *, bl_tensor *, const bl_tensor *, const bl_tensor *,
                                    int32_t, int32_t, float, const bl_dropout *) {
    return missing("attention_forward");
}

bl_status bl_cuda_attention_backward(bl_context *, bl_tensor *, const bl_tensor *, const bl_tensor *, const bl_tensor *,
                                     const bl_tensor *, const bl_tensor *, int32_t, int32_t, float,
                                     const bl_dropout *) {
    return missing("attention_backward");
}

