/*
 * plan.c - runs the plan of a model: the public ops, one after the other, on a
 * context and an arena; see plan.h.
 */
#include "encoder/plan.h"

#include <math.h>

#include "encoder/model.h"

typedef struct run {
    bl_context *ctx;
    bl_arena *arena;
    const struct bl_model *model;
    const bl_plan_batch *batch;
    int64_t sizes[BL_SIZES];
    bl_tensor registers[BL_PLAN_REGISTERS];
    int32_t layer;
} run;

/* ---- operands ---- */

static const bl_tensor *input_of(const bl_plan_batch *batch, bl_plan_operand operand) {
    switch (operand) {
    case BL_PLAN_IDS:
        return &batch->ids;
    case BL_PLAN_POSITIONS:
        return &batch->positions;
    case BL_PLAN_TYPES:
        return &batch->types;
    case BL_PLAN_SEGMENTS:
        return &batch->segments;
    case BL_PLAN_CLS_INDEX:
        return &batch->cls_index;
    default:
        return &batch->masked_index;
    }
}

/* The tensor of an operand; of a parameter its first part; NULL for none. */
static const bl_tensor *operand_of(const run *r, bl_plan_operand operand) {
    if (operand == BL_PLAN_NONE) return NULL;
    if (operand >= BL_PLAN_IDS) return input_of(r->batch, operand);
    if (operand >= BL_PLAN_PARAMETER) return &bl_model_find(r->model, operand, r->layer)->part[0];
    return &r->registers[operand % BL_PLAN_REGISTERS];
}

/* ---- ops ---- */

/* x w^T + bias, where w and bias may be several parts: the columns of y side by side. */
static bl_status run_linear(run *r, const bl_plan_step *step, bl_tensor *y) {
    const bl_tensor *x = operand_of(r, step->in[0]);
    const bl_model_tensor *w = bl_model_find(r->model, step->in[1], r->layer);
    const bl_model_tensor *bias = bl_model_find(r->model, step->in[2], r->layer);
    const int32_t activation =
        step->activation == BL_GELU && r->model->gelu_tanh ? BL_GELU_TANH : (int32_t) step->activation;
    if (w->packed) return bl_packed_linear_forward(r->ctx, y, x, w->packed, &bias->part[0], activation);
    if (w->parts == 1 && bias->parts == 1)
        return bl_linear_forward(r->ctx, y, NULL, x, &w->part[0], &bias->part[0], activation);
    int32_t parts = w->parts > bias->parts ? w->parts : bias->parts;
    int64_t columns = y->shape[1] / parts;
    for (int32_t i = 0; i < parts; i++) {
        int64_t begin = i * columns;
        bl_tensor out, matrix = w->part[0], added = bias->part[0];
        BL_TRY(bl_tensor_slice(&out, y, 1, begin, begin + columns));
        if (w->parts > 1)
            matrix = w->part[i];
        else
            BL_TRY(bl_tensor_slice(&matrix, &w->part[0], 0, begin, begin + columns));
        if (bias->parts > 1)
            added = bias->part[i];
        else
            BL_TRY(bl_tensor_slice(&added, &bias->part[0], 0, begin, begin + columns));
        BL_TRY(bl_linear_forward(r->ctx, &out, NULL, x, &matrix, &added, activation));
    }
    return BL_OK;
}

static bl_status run_op(run *r, const bl_plan_step *step, bl_tensor *y) {
    const bl_tensor *in[BL_PLAN_INPUTS];
    for (int32_t i = 0; i < BL_PLAN_INPUTS; i++)
        in[i] = operand_of(r, step->in[i]);
    const struct bl_model *model = r->model;
    float eps = model->layer_norm_eps;
    switch (step->op) {
    case BL_PLAN_EMBEDDING:
        return bl_embedding_forward(r->ctx, y, NULL, NULL, in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7], eps,
                                    NULL);
    case BL_PLAN_LINEAR:
        return run_linear(r, step, y);
    case BL_PLAN_ATTENTION: {
        double size = (double) model->sizes[BL_SIZE_HIDDEN] / model->attention_heads;
        return bl_attention_forward(r->ctx, y, NULL, NULL, in[0], in[1], model->attention_heads, r->batch->max_length,
                                    (float) (1 / sqrt(size)), NULL);
    }
    case BL_PLAN_LAYERNORM:
        return bl_layernorm_forward(r->ctx, y, NULL, NULL, NULL, in[0], in[1], in[2], in[3], eps, NULL);
    case BL_PLAN_GATHER:
        return bl_gather_forward(r->ctx, y, in[0], in[1]);
    default:
        return bl_segment_mean_forward(r->ctx, y, in[0], in[1]);
    }
}

static bl_status run_part(run *r, const bl_plan_part *part) {
    for (int32_t s = 0; s < part->count; s++) {
        const bl_plan_step *step = &part->steps[s];
        if (step->op == BL_PLAN_RELEASE) {
            BL_TRY(bl_arena_release(r->arena, operand_of(r, step->in[0])));
            continue;
        }
        const int64_t shape[2] = {r->sizes[step->rows], r->sizes[step->columns]};
        bl_tensor *y = &r->registers[step->out - BL_PLAN_REGISTER];
        BL_TRY(bl_arena_tensor(r->arena, y, r->model->dtype, 2, shape));
        BL_TRY(run_op(r, step, y));
    }
    /* The next part finds it in the first register. */
    r->registers[0] = r->registers[part->result - BL_PLAN_REGISTER];
    return BL_OK;
}

static void set_sizes(int64_t sizes[BL_SIZES], const struct bl_model *model, int64_t tokens, int64_t sequences,
                      int64_t places) {
    for (int32_t i = 0; i < BL_SIZES; i++)
        sizes[i] = model->sizes[i];
    sizes[BL_SIZE_TOKENS] = tokens;
    sizes[BL_SIZE_SEQUENCES] = sequences;
    sizes[BL_SIZE_PLACES] = places;
}

bl_status bl_plan_run(bl_context *ctx, bl_arena *arena, const struct bl_model *model, bl_head head,
                      const bl_plan_batch *batch, bl_tensor *result) {
    run r = {.ctx = ctx, .arena = arena, .model = model, .batch = batch};
    set_sizes(r.sizes, model, batch->ids.shape[0], batch->segments.shape[0], batch->masked_index.shape[0]);
    BL_TRY(run_part(&r, &bl_plan_embeddings));
    for (r.layer = 0; r.layer < model->layers; r.layer++)
        BL_TRY(run_part(&r, &bl_plan_layer));
    r.layer = 0;
    BL_TRY(run_part(&r, &bl_plan_heads[head]));
    *result = r.registers[0];
    return BL_OK;
}

/* ---- what it takes ---- */

/*
 * The arena's first fit (core/memory.c), without memory: blocks in use, by
 * offset. There are those of the batch, which stay, and the registers.
 */
enum { BLOCKS = 2 * BL_PLAN_REGISTERS + 8, ALIGNMENT = 64 };

typedef struct block {
    size_t offset, bytes;
} block;

typedef struct outline {
    block blocks[BLOCKS];
    int32_t count;
    size_t peak;
    size_t registers[BL_PLAN_REGISTERS]; /* their offsets */
    int64_t sizes[BL_SIZES];
} outline;

static size_t outline_take(outline *o, int64_t elements, size_t size) {
    size_t bytes = (size_t) elements * size, offset = 0;
    bytes = ((bytes ? bytes : 1) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    int32_t at = 0;
    while (at < o->count && o->blocks[at].offset - offset < bytes) {
        offset = o->blocks[at].offset + o->blocks[at].bytes;
        at++;
    }
    for (int32_t i = o->count; i > at; i--)
        o->blocks[i] = o->blocks[i - 1];
    o->blocks[at] = (block){offset, bytes};
    o->count++;
    if (offset + bytes > o->peak) o->peak = offset + bytes;
    return offset;
}

static void outline_give(outline *o, size_t offset) {
    int32_t kept = 0;
    for (int32_t i = 0; i < o->count; i++)
        if (o->blocks[i].offset != offset) o->blocks[kept++] = o->blocks[i];
    o->count = kept;
}

static void outline_part(outline *o, const bl_plan_part *part, size_t size) {
    for (int32_t s = 0; s < part->count; s++) {
        const bl_plan_step *step = &part->steps[s];
        if (step->op == BL_PLAN_RELEASE)
            outline_give(o, o->registers[step->in[0] - BL_PLAN_REGISTER]);
        else
            o->registers[step->out - BL_PLAN_REGISTER] =
                outline_take(o, o->sizes[step->rows] * o->sizes[step->columns], size);
    }
    o->registers[0] = o->registers[part->result - BL_PLAN_REGISTER];
}

size_t bl_plan_bytes(const struct bl_model *model, bl_head head, int64_t tokens, int64_t sequences, int64_t places) {
    outline o = {.count = 0};
    size_t size = bl_dtype_size(model->dtype);
    set_sizes(o.sizes, model, tokens, sequences, places);
    const int64_t batch[] = {tokens, tokens, tokens, 2 * sequences, sequences, places};
    for (size_t i = 0; i < sizeof batch / sizeof *batch; i++)
        outline_take(&o, batch[i], sizeof(int32_t));
    outline_part(&o, &bl_plan_embeddings, size);
    for (int32_t layer = 0; layer < model->layers; layer++)
        outline_part(&o, &bl_plan_layer, size);
    outline_part(&o, &bl_plan_heads[head], size);
    if (model->dtype != BL_F32) {
        /* The result in f32 is as large as that of the head's last op. */
        const bl_plan_part *part = &bl_plan_heads[head];
        bl_plan_size rows = BL_SIZE_TOKENS, columns = BL_SIZE_HIDDEN;
        for (int32_t s = 0; s < part->count; s++)
            if (part->steps[s].op != BL_PLAN_RELEASE) rows = part->steps[s].rows, columns = part->steps[s].columns;
        outline_take(&o, o.sizes[rows] * o.sizes[columns], sizeof(float));
    }
    return o.peak;
}
