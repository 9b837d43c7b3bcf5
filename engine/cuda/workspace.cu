/*
 * workspace.cu - how much scratch memory a training step will ask for, from the
 * sizes that the ops themselves take (bl_cuda_scratch), and taking it early.
 *
 * Ops share one block, so what counts is the largest. In BERT it is the
 * embedding's backward pass, which holds dz in f32: 4 bytes per row and column.
 */
#include "cuda/cuda.h"
#include "cuda/normalize.cuh"

static void at_least(uint64_t *most, size_t bytes) {
    if (bytes > *most) *most = bytes;
}

/* Losses and picked rows: at most two words per entry, and one for the end. */
static size_t list_bytes(int64_t entries) {
    return static_cast<size_t>(2 * entries + 1) * sizeof(uint64_t);
}

bl_status bl_cuda_step_workspace(bl_context *ctx, const bl_step_shape *shape, uint64_t *scratch, uint64_t *slack) {
    const bl_cuda *cuda = bl_cuda_of(ctx);
    const int64_t rows = shape->rows, hidden = shape->hidden;
    const int64_t widths[] = {3 * hidden, shape->intermediate, hidden};
    uint64_t most = 0;
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        at_least(&most, bl_cuda_linear_bytes(rows, widths[i]));
    if (shape->classes) at_least(&most, bl_cuda_linear_bytes(shape->picked, shape->classes));
    at_least(&most, static_cast<size_t>(normalize_partial_size(cuda, rows, hidden)) * sizeof(float));
    at_least(&most, bl_cuda_embedding_backward_bytes(cuda, rows, hidden));
    size_t attention = 0;
    BL_TRY(bl_cuda_attention_bytes(ctx, shape, &attention));
    at_least(&most, attention);
    at_least(&most, list_bytes(shape->picked > shape->sequences ? shape->picked : shape->sequences));
    at_least(&most, bl_cuda_lamb_bytes(shape->parameters, shape->tensors));
    at_least(&most, bl_cuda_grad_norm_bytes(shape->parameters));
    *scratch = most;
    *slack = shape->activations ? bl_cuda_commit_slack(static_cast<size_t>(shape->activations)) : 0;
    return BL_OK;
}

bl_status bl_cuda_reserve_scratch(bl_context *ctx, size_t bytes) {
    void *scratch = NULL;
    return bl_cuda_scratch(ctx, bytes, &scratch);
}
