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

bl_status bl_cuda_embedding_forward(bl_context *, bl_tensor *, bl_tensor *, bl_tensor *, const bl_tensor *,
                                    const bl_tensor *, const bl_tensor *, const bl_tensor *, const bl_tensor *,
                                    const bl_tensor *, const bl_tensor *, const bl_tensor *, float,
                                    const bl_dropout *) {
    return missing("embedding_forward");
}

bl_status bl_cuda_embedding_backward(bl_context *, bl_tensor *, bl_tensor *, bl_tensor *, bl_tensor *, bl_tensor *,
                                     const bl_tensor *, const bl_tensor *, const bl_tensor *, const bl_tensor *,
                                     const bl_tensor *, const bl_tensor *, const bl_tensor *, const bl_tensor *,
                                     const bl_tensor *, const bl_tensor *, const bl_dropout *) {
    return missing("embedding_backward");
}

bl_status bl_cuda_gather_forward(bl_context *, bl_tensor *, const bl_tensor *, const bl_tensor *) {
    return missing("gather_forward");
}

bl_status bl_cuda_gather_backward(bl_context *, bl_tensor *, const bl_tensor *, const bl_tensor *) {
    return missing("gather_backward");
}

bl_status bl_cuda_cross_entropy_forward(bl_context *, bl_tensor *, bl_tensor *, bl_tensor *, const bl_tensor *,
                                        const bl_tensor *, int64_t) {
    return missing("cross_entropy_forward");
}

bl_status bl_cuda_cross_entropy_backward(bl_context *, bl_tensor *, const bl_tensor *, const bl_tensor *,
                                         const bl_tensor *, const bl_tensor *, int64_t) {
    return missing("cross_entropy_backward");
}

bl_status bl_cuda_span_loss_forward(bl_context *, bl_tensor *, bl_tensor *, const bl_tensor *, const bl_tensor *,
                                    const bl_tensor *, const bl_tensor *) {
    return missing("span_loss_forward");
}

bl_status bl_cuda_span_loss_backward(bl_context *, bl_tensor *, const bl_tensor *, const bl_tensor *, const bl_tensor *,
                                     const bl_tensor *, const bl_tensor *, const bl_tensor *) {
    return missing("span_loss_backward");
}

bl_status bl_cuda_softmax(bl_context *, bl_tensor *, const bl_tensor *) {
    return missing("softmax");
}

bl_status bl_cuda_reduce(bl_context *, bl_tensor *, const bl_tensor *, int32_t) {
    return missing("reduce");
}

bl_status bl_cuda_topk(bl_context *, bl_tensor *, bl_tensor *, const bl_tensor *, int32_t) {
    return missing("topk");
}

bl_status bl_cuda_grad_norm(bl_context *, bl_tensor *, const bl_tensor *, int32_t, float) {
    return missing("grad_norm");
}

bl_status bl_cuda_lamb_update(bl_context *, const bl_optim *) {
    return missing("lamb_update");
}

bl_status bl_cuda_adamw_update(bl_context *, const bl_optim *) {
    return missing("adamw_update");
}

bl_status bl_cuda_loss_scale_update(bl_context *, bl_tensor *, float, float, int32_t, float) {
    return missing("loss_scale_update");
}
