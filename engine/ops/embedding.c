/*
 * embedding.c - validation and dispatch of the embedding block: three lookups,
 * layer normalisation, dropout.
 */
#include "check.h"

/* The tables agree in dtype and width; every index lies in its table. */
static bl_status check_tables(const char *op, const bl_context *ctx, const bl_tensor *word, const bl_tensor *position,
                              const bl_tensor *type, const bl_tensor *ids, const bl_tensor *positions,
                              const bl_tensor *types) {
    BL_TRY(bl_check_rows(op, ctx, "word", word));
    uint32_t act = BL_SET(word->dtype);
    BL_CHECK(op, ctx, position, act, "SH", BL_ANY, word->shape[1]);
    BL_CHECK(op, ctx, type, act, "CH", BL_ANY, word->shape[1]);
    BL_CHECK(op, ctx, ids, BL_SET(BL_I32), "T", BL_ANY);
    BL_CHECK(op, ctx, positions, BL_SET(BL_I32), "T", ids->shape[0]);
    BL_CHECK(op, ctx, types, BL_SET(BL_I32), "T", ids->shape[0]);
    BL_TRY(bl_check_index(op, ctx, "ids", ids, 0, word->shape[0]));
    BL_TRY(bl_check_index(op, ctx, "positions", positions, 0, position->shape[0]));
    return bl_check_index(op, ctx, "types", types, 0, type->shape[0]);
}

BL_API bl_status bl_embedding_forward(bl_context *ctx, bl_tensor *y, bl_tensor *mean, bl_tensor *rstd,
                                      const bl_tensor *word, const bl_tensor *position, const bl_tensor *type,
                                      const bl_tensor *ids, const bl_tensor *positions, const bl_tensor *types,
                                      const bl_tensor *gamma, const bl_tensor *beta, float eps,
                                      const bl_dropout *dropout) {
    static const char op[] = "embedding";
    BL_CHECK_CONTEXT(op, ctx, embedding_forward);
    BL_TRY(check_tables(op, ctx, word, position, type, ids, positions, types));
    int64_t rows = ids->shape[0], width = word->shape[1];
    BL_CHECK(op, ctx, y, BL_SET(word->dtype), "TH", rows, width);
    BL_CHECK_OPTIONAL(op, ctx, mean, BL_SET(BL_F32), "T", rows);
    BL_CHECK_OPTIONAL(op, ctx, rstd, BL_SET(BL_F32), "T", rows);
    BL_CHECK(op, ctx, gamma, BL_SET(BL_F32), "H", width);
    BL_CHECK(op, ctx, beta, BL_SET(BL_F32), "H", width);
    BL_TRY(bl_check_eps(op, eps));
    BL_TRY(bl_check_dropout(op, ctx, dropout));
    return ctx->backend->ops.embedding_forward(ctx, y, mean, rstd, word, position, type, ids, positions, types, gamma,
                                               beta, eps, dropout);
}

BL_API bl_status bl_embedding_backward(bl_context *ctx, bl_tensor *dword, bl_tensor *dposition, bl_tensor *dtype,
                                       bl_tensor *dgamma, bl_tensor *dbeta, const bl_tensor *dy, const bl_tensor *mean,
                                       const bl_tensor *rstd, const bl_tensor *word, const bl_tensor *position,
                                       const bl_tensor *type, const bl_tensor *ids, const bl_tensor *positions,
                                       const bl_tensor *types, const bl_tensor *gamma, const bl_dropout *dropout) {
    static const char op[] = "embedding_backward";
    BL_CHECK_CONTEXT(op, ctx, embedding_backward);
    BL_TRY(check_tables(op, ctx, word, position, type, ids, positions, types));
    int64_t rows = ids->shape[0], width = word->shape[1];
    BL_CHECK_OPTIONAL(op, ctx, dword, BL_SET(BL_F32), "VH", word->shape[0], width);
    BL_CHECK_OPTIONAL(op, ctx, dposition, BL_SET(BL_F32), "SH", position->shape[0], width);
    BL_CHECK_OPTIONAL(op, ctx, dtype, BL_SET(BL_F32), "CH", type->shape[0], width);
    BL_CHECK_OPTIONAL(op, ctx, dgamma, BL_SET(BL_F32), "H", width);
    BL_CHECK_OPTIONAL(op, ctx, dbeta, BL_SET(BL_F32), "H", width);
    BL_CHECK(op, ctx, dy, BL_SET(word->dtype), "TH", rows, width);
    BL_CHECK(op, ctx, mean, BL_SET(BL_F32), "T", rows);
    BL_CHECK(op, ctx, rstd, BL_SET(BL_F32), "T", rows);
    BL_CHECK(op, ctx, gamma, BL_SET(BL_F32), "H", width);
    BL_TRY(bl_check_dropout(op, ctx, dropout));
    return ctx->backend->ops.embedding_backward(ctx, dword, dposition, dtype, dgamma, dbeta, dy, mean, rstd, word,
                                                position, type, ids, positions, types, gamma, dropout);
}
