/*
 * options.c - settings of an open context that kernels look at.
 */
#include <string.h>

#include "internal.h"

BL_API bl_status bl_context_allow_tf32(bl_context *ctx, bool allow) {
    if (!ctx) return bl_fail(BL_ERROR_ARGUMENT, "context: NULL, expected an open context");
    ctx->allow_tf32 = allow;
    return BL_OK;
}

static bl_status keep_name(char (*to)[1024], const char *name) {
    const size_t length = name ? strlen(name) : 0;
    if (length >= sizeof *to)
        return bl_fail(BL_ERROR_ARGUMENT, "matmul choices: the name has %zu characters, expected fewer than %zu",
                       length, sizeof *to);
    memset(*to, 0, sizeof *to);
    if (name) memcpy(*to, name, length);
    return BL_OK;
}

BL_API bl_status bl_context_matmul_choices(bl_context *ctx, const char *path, const char *folder) {
    if (!ctx) return bl_fail(BL_ERROR_ARGUMENT, "context: NULL, expected an open context");
    if (ctx->device != BL_CUDA)
        return bl_fail(BL_ERROR_UNSUPPORTED, "matmul choices: cuda only; on the CPU oneDNN offers no choice");
    BL_TRY(keep_name(&ctx->matmul_choices, path));
    BL_TRY(keep_name(&ctx->matmul_folder, folder));
    ctx->matmul_choices_version++;
    return BL_OK;
}

BL_API bl_status bl_context_attention(bl_context *ctx, int32_t implementation) {
    static const char *const names[] = {"auto", "native", "unfused", "cudnn"};
    if (!ctx) return bl_fail(BL_ERROR_ARGUMENT, "context: NULL, expected an open context");
    if (implementation < BL_ATTENTION_AUTO || implementation > BL_ATTENTION_CUDNN)
        return bl_fail(BL_ERROR_ARGUMENT, "attention: implementation is %d, expected 0 to 3", (int) implementation);
    if (ctx->device == BL_CPU && implementation > BL_ATTENTION_NATIVE)
        return bl_fail(BL_ERROR_UNSUPPORTED, "attention: %s needs a GPU; on the CPU only native exists",
                       names[implementation]);
    ctx->attention = implementation;
    return BL_OK;
}
