/*
 * plan.h - the graph of the model as a list of ops, and its interpreter.
 *
 * The list is in plan_table.c, which scripts/export_plan.lua makes of the model
 * in Lua (lua/bertlua/models): what that calls is recorded, with the places
 * where it lets go of each activation. So the graph is written once.
 */
#ifndef BERTLUA_ENCODER_PLAN_H
#define BERTLUA_ENCODER_PLAN_H

#include "encoder/encoder.h"

enum { BL_PLAN_REGISTERS = 8, BL_PLAN_INPUTS = 8, BL_PLAN_PARTS = 3, BL_HEADS = BL_HEAD_WORDS + 1 };

typedef enum bl_plan_op {
    BL_PLAN_EMBEDDING,    /* word, position, type, ids, positions, types, gamma, beta */
    BL_PLAN_LINEAR,       /* x, w, bias */
    BL_PLAN_ATTENTION,    /* qkv, segments; heads, longest sequence and scale are the model's and the batch's */
    BL_PLAN_LAYERNORM,    /* x, residual, gamma, beta */
    BL_PLAN_GATHER,       /* x, index */
    BL_PLAN_SEGMENT_MEAN, /* x, segments */
    BL_PLAN_RELEASE       /* a register, which is not read again */
} bl_plan_op;

/* What an op reads or writes: a register (an activation), a parameter, or a tensor of the batch. */
typedef uint16_t bl_plan_operand;
enum {
    BL_PLAN_NONE = 0,
    BL_PLAN_REGISTER = 0x100,  /* + its number, below BL_PLAN_REGISTERS, which divides it */
    BL_PLAN_PARAMETER = 0x200, /* + its row of bl_plan_parameters */
    BL_PLAN_IDS = 0x300,
    BL_PLAN_POSITIONS,
    BL_PLAN_TYPES,
    BL_PLAN_SEGMENTS,
    BL_PLAN_CLS_INDEX,
    BL_PLAN_MASKED_INDEX
};

/* Sizes: of the batch, then of the model. */
typedef enum bl_plan_size {
    BL_SIZE_NONE, /* there is no such dimension */
    BL_SIZE_TOKENS,
    BL_SIZE_SEQUENCES,
    BL_SIZE_PLACES,
    BL_SIZE_HIDDEN,
    BL_SIZE_HIDDEN_3,
    BL_SIZE_INTERMEDIATE,
    BL_SIZE_VOCABULARY,
    BL_SIZE_POSITIONS,
    BL_SIZE_TYPES,
    BL_SIZE_LABELS,
    BL_SIZE_2,
    BL_SIZES
} bl_plan_size;

/* out [rows, columns] = op(in ...). Its memory is taken before, and given back by RELEASE. */
typedef struct bl_plan_step {
    bl_plan_op op;
    bl_plan_operand out;
    bl_plan_operand in[BL_PLAN_INPUTS];
    bl_plan_size rows, columns;
    bl_activation activation;
} bl_plan_step;

/* Register 0 is the hidden state that a part begins with; `result` is where it leaves its own. */
typedef struct bl_plan_part {
    const bl_plan_step *steps;
    int32_t count;
    bl_plan_operand result;
} bl_plan_part;

/* A tensor of the file, or several of one shape, one below the other. '#' in a name is the number of the layer. */
typedef struct bl_plan_parameter {
    const char *names[BL_PLAN_PARTS];
    int32_t parts;
    bl_plan_size rows, columns; /* of each part */
    bool low;                   /* computed with in the dtype of activations; the others stay f32 */
    bool layered;
} bl_plan_parameter;

extern const bl_plan_parameter bl_plan_parameters[];
extern const int32_t bl_plan_parameter_count;
extern const bl_plan_part bl_plan_embeddings;
extern const bl_plan_part bl_plan_layer;
extern const bl_plan_part bl_plan_heads[BL_HEADS];

/* The tensors of a batch, on the context's device. */
typedef struct bl_plan_batch {
    bl_tensor ids, positions, types; /* i32 [tokens] */
    bl_tensor segments;              /* i32 [sequences,2] */
    bl_tensor cls_index;             /* i32 [sequences] */
    bl_tensor masked_index;          /* i32 [places] */
    int32_t max_length;
} bl_plan_batch;

/* Run a head's plan; *result lies in the arena, in the model's dtype. */
bl_status bl_plan_run(bl_context *ctx, bl_arena *arena, const struct bl_model *model, bl_head head,
                      const bl_plan_batch *batch, bl_tensor *result);

/* Bytes of an arena that a batch needs at most. */
size_t bl_plan_bytes(const struct bl_model *model, bl_head head, int64_t tokens, int64_t sequences, int64_t places);

#endif
