/*
 * embedding.c - sum of word, position and type embeddings, layer normalised
 * and dropped out. The sum is recomputed in the backward rather than stored.
 */
#include <omp.h>

#include "core/half.h"
#include "core/philox.h"
#include "cpu.h"
#include "normalize.h"

enum { BLOCK = 512 };

typedef struct tables {
    const void *word;
    const void *position;
    const void *type;
    const int32_t *ids;
    const int32_t *positions;
    const int32_t *types;
    int32_t dtype;
    int64_t width;
} tables;

static tables tables_open(const bl_tensor *word, const bl_tensor *position, const bl_tensor *type, const bl_tensor *ids,
                          const bl_tensor *positions, const bl_tensor *types) {
    return (tables){.word = word->data,
                    .position = position->data,
                    .type = type->data,
                    .ids = ids->data,
                    .positions = positions->data,
                    .types = types->data,
                    .dtype = word->dtype,
                    .width = word->shape[1]};
}

static void sum_row(float *z, const tables *e, int64_t t) {
    float word_buffer[BLOCK], position_buffer[BLOCK], type_buffer[BLOCK];
    for (int64_t done = 0; done < e->width; done += BLOCK) {
        int64_t n = e->width - done < BLOCK ? e->width - done : BLOCK;
        const float *word = bl_row_read(e->word, e->dtype, e->ids[t] * e->width + done, n, word_buffer);
        const float *position =
            bl_row_read(e->position, e->dtype, e->positions[t] * e->width + done, n, position_buffer);
        const float *type = bl_row_read(e->type, e->dtype, e->types[t] * e->width + done, n, type_buffer);
        float *out = z + done;
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            out[i] = word[i] + position[i] + type[i];
    }
}

bl_status bl_cpu_embedding_forward(bl_context *ctx, bl_tensor *y, bl_tensor *mean, bl_tensor *rstd,
                                   const bl_tensor *word, const bl_tensor *position, const bl_tensor *type,
                                   const bl_tensor *ids, const bl_tensor *positions, const bl_tensor *types,
                                   const bl_tensor *gamma, const bl_tensor *beta, float eps,
                                   const bl_dropout *dropout) {
    int64_t rows = y->shape[0], width = y->shape[1];
    int64_t pitch = bl_norm_pitch(width);
    tables e = tables_open(word, position, type, ids, positions, types);
    bl_dropout_stream drop = bl_dropout_open(dropout);
    const float *scale = gamma->data, *shift = beta->data;
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) (2 * ctx->threads * pitch) * sizeof(float), &scratch));
    float *buffers = scratch;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if (rows * width > 1 << 14)
    for (int64_t t = 0; t < rows; t++) {
        float *row = buffers + 2 * omp_get_thread_num() * pitch, *keep = row + pitch;
        float m, r;
        sum_row(row, &e, t);
        bl_norm_statistics(row, width, eps, &m, &r);
#pragma omp simd
        for (int64_t i = 0; i < width; i++)
            row[i] = (row[i] - m) * r * scale[i] + shift[i];
        if (drop.active) {
            bl_dropout_fill(&drop, t * width, width, keep);
#pragma omp simd
            for (int64_t i = 0; i < width; i++)
                row[i] *= keep[i];
        }
        bl_row_from_f32(bl_element(y->data, y->dtype, t * width), y->dtype, row, width);
        if (mean) ((float *) mean->data)[t] = m;
        if (rstd) ((float *) rstd->data)[t] = r;
    }
    return BL_OK;
}

/* Adds columns [low, high) of each row of dz to the table row it came from, in row order. */
static void scatter(bl_tensor *table, const int32_t *index, const float *dz, int64_t pitch, int64_t rows, int64_t low,
                    int64_t high) {
    if (!table) return;
    float *data = table->data;
    for (int64_t t = 0; t < rows; t++)
        bl_row_add(data + index[t] * table->shape[1] + low, dz + t * pitch + low, high - low);
}

bl_status bl_cpu_embedding_backward(bl_context *ctx, bl_tensor *dword, bl_tensor *dposition, bl_tensor *dtype,
                                    bl_tensor *dgamma, bl_tensor *dbeta, const bl_tensor *dy, const bl_tensor *mean,
                                    const bl_tensor *rstd, const bl_tensor *word, const bl_tensor *position,
                                    const bl_tensor *type, const bl_tensor *ids, const bl_tensor *positions,
                                    const bl_tensor *types, const bl_tensor *gamma, const bl_dropout *dropout) {
    enum { CHUNK = 32, GROUP = 16 }; /* rows summed together; chunks whose dz is held at a time */
    int64_t rows = dy->shape[0], width = dy->shape[1];
    int64_t pitch = bl_norm_pitch(width);
    tables e = tables_open(word, position, type, ids, positions, types);
    bl_dropout_stream drop = bl_dropout_open(dropout);
    void *scratch;
    BL_TRY(bl_scratch(ctx, (size_t) ((2 * ctx->threads + (2 + CHUNK) * GROUP) * pitch) * sizeof(float), &scratch));
    float *buffers = scratch;
    float *partial = buffers + 2 * ctx->threads * pitch; /* [GROUP, 2, pitch] */
    float *dz = partial + 2 * GROUP * pitch;             /* [GROUP * CHUNK, pitch] */
    for (int64_t base = 0; base < rows; base += CHUNK * GROUP) {
        int64_t limit = base + CHUNK * GROUP < rows ? base + CHUNK * GROUP : rows;
        int64_t chunks = (limit - base + CHUNK - 1) / CHUNK;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if ((limit - base) * width > 1 << 14)
        for (int64_t c = 0; c < chunks; c++) {
            float *dy_buffer = buffers + 2 * omp_get_thread_num() * pitch, *keep = dy_buffer + pitch;
            float *dgamma_part = partial + 2 * c * pitch, *dbeta_part = dgamma_part + pitch;
            for (int64_t i = 0; i < 2 * pitch; i++)
                dgamma_part[i] = 0.0f;
            int64_t begin = base + c * CHUNK, end = begin + CHUNK < limit ? begin + CHUNK : limit;
            for (int64_t t = begin; t < end; t++) {
                float *dz_row = dz + (t - base) * pitch;
                const float *dy_row = bl_row_read(dy->data, dy->dtype, t * width, width, dy_buffer);
                if (drop.active) {
                    bl_dropout_fill(&drop, t * width, width, keep);
#pragma omp simd
                    for (int64_t i = 0; i < width; i++)
                        keep[i] *= dy_row[i];
                    dy_row = keep;
                }
                sum_row(dz_row, &e, t);
                bl_norm_gradient(dz_row, dgamma_part, dbeta_part, dy_row, dz_row, gamma->data, width,
                                 ((const float *) mean->data)[t], ((const float *) rstd->data)[t]);
            }
        }
        for (int64_t c = 0; c < chunks; c++) {
            bl_row_add(dgamma ? dgamma->data : NULL, partial + 2 * c * pitch, width);
            bl_row_add(dbeta ? dbeta->data : NULL, partial + (2 * c + 1) * pitch, width);
        }
        /* Each thread owns columns, so every table element gets its terms in row order. */
        int64_t slice = (pitch / 16 + ctx->threads - 1) / ctx->threads * 16;
#pragma omp parallel for num_threads(ctx->threads) schedule(static) if ((limit - base) * width > 1 << 14)
        for (int64_t low = 0; low < width; low += slice) {
            int64_t high = low + slice < width ? low + slice : width;
            scatter(dword, e.ids + base, dz, pitch, limit - base, low, high);
            scatter(dposition, e.positions + base, dz, pitch, limit - base, low, high);
            scatter(dtype, e.types + base, dz, pitch, limit - base, low, high);
        }
    }
    return BL_OK;
}
