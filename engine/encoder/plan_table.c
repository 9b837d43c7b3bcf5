/*
 * plan_table.c - the graph of the model, see plan.h.
 *
 * Generated from the model in Lua; after a change of that:
 * build/bertlua scripts/export_plan.lua engine/encoder/plan_table.c
 */
#include "encoder/plan.h"

/* A row is a step. */
/* clang-format off */
#define COUNT(array) ((int32_t) (sizeof(array) / sizeof *(array)))

/* Rows of bl_plan_parameters, and registers. */
enum {
    EMBEDDINGS_WORD_EMBEDDINGS_WEIGHT = BL_PLAN_PARAMETER,
    EMBEDDINGS_POSITION_EMBEDDINGS_WEIGHT,
    EMBEDDINGS_TOKEN_TYPE_EMBEDDINGS_WEIGHT,
    EMBEDDINGS_LAYERNORM_WEIGHT,
    EMBEDDINGS_LAYERNORM_BIAS,
    LAYER_ATTENTION_SELF_QUERY_KEY_VALUE_WEIGHT,
    LAYER_ATTENTION_SELF_QUERY_KEY_VALUE_BIAS,
    LAYER_ATTENTION_OUTPUT_DENSE_WEIGHT,
    LAYER_ATTENTION_OUTPUT_DENSE_BIAS,
    LAYER_ATTENTION_OUTPUT_LAYERNORM_WEIGHT,
    LAYER_ATTENTION_OUTPUT_LAYERNORM_BIAS,
    LAYER_INTERMEDIATE_DENSE_WEIGHT,
    LAYER_INTERMEDIATE_DENSE_BIAS,
    LAYER_OUTPUT_DENSE_WEIGHT,
    LAYER_OUTPUT_DENSE_BIAS,
    LAYER_OUTPUT_LAYERNORM_WEIGHT,
    LAYER_OUTPUT_LAYERNORM_BIAS,
    POOLER_DENSE_WEIGHT,
    POOLER_DENSE_BIAS,
    CLASSIFIER_WEIGHT,
    CLASSIFIER_BIAS,
    QA_OUTPUTS_WEIGHT,
    QA_OUTPUTS_BIAS,
    CLS_PREDICTIONS_TRANSFORM_DENSE_WEIGHT,
    CLS_PREDICTIONS_TRANSFORM_DENSE_BIAS,
    CLS_PREDICTIONS_TRANSFORM_LAYERNORM_WEIGHT,
    CLS_PREDICTIONS_TRANSFORM_LAYERNORM_BIAS,
    CLS_PREDICTIONS_BIAS,
};
enum { R0 = BL_PLAN_REGISTER, R1, R2, R3, R4, R5, R6, R7 };

const bl_plan_parameter bl_plan_parameters[] = {
    {{"bert.embeddings.word_embeddings.weight"}, 1, BL_SIZE_VOCABULARY, BL_SIZE_HIDDEN, true, false},
    {{"bert.embeddings.position_embeddings.weight"}, 1, BL_SIZE_POSITIONS, BL_SIZE_HIDDEN, true, false},
    {{"bert.embeddings.token_type_embeddings.weight"}, 1, BL_SIZE_TYPES, BL_SIZE_HIDDEN, true, false},
    {{"bert.embeddings.LayerNorm.weight"}, 1, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, false},
    {{"bert.embeddings.LayerNorm.bias"}, 1, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, false},
    {{"bert.encoder.layer.#.attention.self.query.weight", "bert.encoder.layer.#.attention.self.key.weight",
     "bert.encoder.layer.#.attention.self.value.weight"}, 3, BL_SIZE_HIDDEN, BL_SIZE_HIDDEN, true, true},
    {{"bert.encoder.layer.#.attention.self.query.bias", "bert.encoder.layer.#.attention.self.key.bias",
     "bert.encoder.layer.#.attention.self.value.bias"}, 3, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, true},
    {{"bert.encoder.layer.#.attention.output.dense.weight"}, 1, BL_SIZE_HIDDEN, BL_SIZE_HIDDEN, true, true},
    {{"bert.encoder.layer.#.attention.output.dense.bias"}, 1, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, true},
    {{"bert.encoder.layer.#.attention.output.LayerNorm.weight"}, 1, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, true},
    {{"bert.encoder.layer.#.attention.output.LayerNorm.bias"}, 1, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, true},
    {{"bert.encoder.layer.#.intermediate.dense.weight"}, 1, BL_SIZE_INTERMEDIATE, BL_SIZE_HIDDEN, true, true},
    {{"bert.encoder.layer.#.intermediate.dense.bias"}, 1, BL_SIZE_INTERMEDIATE, BL_SIZE_NONE, false, true},
    {{"bert.encoder.layer.#.output.dense.weight"}, 1, BL_SIZE_HIDDEN, BL_SIZE_INTERMEDIATE, true, true},
    {{"bert.encoder.layer.#.output.dense.bias"}, 1, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, true},
    {{"bert.encoder.layer.#.output.LayerNorm.weight"}, 1, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, true},
    {{"bert.encoder.layer.#.output.LayerNorm.bias"}, 1, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, true},
    {{"bert.pooler.dense.weight"}, 1, BL_SIZE_HIDDEN, BL_SIZE_HIDDEN, true, false},
    {{"bert.pooler.dense.bias"}, 1, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, false},
    {{"classifier.weight"}, 1, BL_SIZE_LABELS, BL_SIZE_HIDDEN, true, false},
    {{"classifier.bias"}, 1, BL_SIZE_LABELS, BL_SIZE_NONE, false, false},
    {{"qa_outputs.weight"}, 1, BL_SIZE_2, BL_SIZE_HIDDEN, true, false},
    {{"qa_outputs.bias"}, 1, BL_SIZE_2, BL_SIZE_NONE, false, false},
    {{"cls.predictions.transform.dense.weight"}, 1, BL_SIZE_HIDDEN, BL_SIZE_HIDDEN, true, false},
    {{"cls.predictions.transform.dense.bias"}, 1, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, false},
    {{"cls.predictions.transform.LayerNorm.weight"}, 1, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, false},
    {{"cls.predictions.transform.LayerNorm.bias"}, 1, BL_SIZE_HIDDEN, BL_SIZE_NONE, false, false},
    {{"cls.predictions.bias"}, 1, BL_SIZE_VOCABULARY, BL_SIZE_NONE, false, false},
};
const int32_t bl_plan_parameter_count = COUNT(bl_plan_parameters);

static const bl_plan_step embeddings_steps[] = {
    {BL_PLAN_EMBEDDING, R0, {EMBEDDINGS_WORD_EMBEDDINGS_WEIGHT, EMBEDDINGS_POSITION_EMBEDDINGS_WEIGHT,
     EMBEDDINGS_TOKEN_TYPE_EMBEDDINGS_WEIGHT, BL_PLAN_IDS, BL_PLAN_POSITIONS, BL_PLAN_TYPES,
     EMBEDDINGS_LAYERNORM_WEIGHT, EMBEDDINGS_LAYERNORM_BIAS}, BL_SIZE_TOKENS, BL_SIZE_HIDDEN, BL_LINEAR},
};
const bl_plan_part bl_plan_embeddings = {embeddings_steps, COUNT(embeddings_steps), R0};

static const bl_plan_step layer_steps[] = {
    {BL_PLAN_LINEAR, R1, {R0, LAYER_ATTENTION_SELF_QUERY_KEY_VALUE_WEIGHT, LAYER_ATTENTION_SELF_QUERY_KEY_VALUE_BIAS},
     BL_SIZE_TOKENS, BL_SIZE_HIDDEN_3, BL_LINEAR},
    {BL_PLAN_ATTENTION, R2, {R1, BL_PLAN_SEGMENTS}, BL_SIZE_TOKENS, BL_SIZE_HIDDEN, BL_LINEAR},
    {.op = BL_PLAN_RELEASE, .in = {R1}},
    {BL_PLAN_LINEAR, R1, {R2, LAYER_ATTENTION_OUTPUT_DENSE_WEIGHT, LAYER_ATTENTION_OUTPUT_DENSE_BIAS}, BL_SIZE_TOKENS,
     BL_SIZE_HIDDEN, BL_LINEAR},
    {.op = BL_PLAN_RELEASE, .in = {R2}},
    {BL_PLAN_LAYERNORM, R2, {R1, R0, LAYER_ATTENTION_OUTPUT_LAYERNORM_WEIGHT, LAYER_ATTENTION_OUTPUT_LAYERNORM_BIAS},
     BL_SIZE_TOKENS, BL_SIZE_HIDDEN, BL_LINEAR},
    {.op = BL_PLAN_RELEASE, .in = {R1}},
    {BL_PLAN_LINEAR, R1, {R2, LAYER_INTERMEDIATE_DENSE_WEIGHT, LAYER_INTERMEDIATE_DENSE_BIAS}, BL_SIZE_TOKENS,
     BL_SIZE_INTERMEDIATE, BL_GELU},
    {BL_PLAN_LINEAR, R3, {R1, LAYER_OUTPUT_DENSE_WEIGHT, LAYER_OUTPUT_DENSE_BIAS}, BL_SIZE_TOKENS, BL_SIZE_HIDDEN,
     BL_LINEAR},
    {.op = BL_PLAN_RELEASE, .in = {R1}},
    {BL_PLAN_LAYERNORM, R1, {R3, R2, LAYER_OUTPUT_LAYERNORM_WEIGHT, LAYER_OUTPUT_LAYERNORM_BIAS}, BL_SIZE_TOKENS,
     BL_SIZE_HIDDEN, BL_LINEAR},
    {.op = BL_PLAN_RELEASE, .in = {R3}},
    {.op = BL_PLAN_RELEASE, .in = {R2}},
    {.op = BL_PLAN_RELEASE, .in = {R0}},
};
const bl_plan_part bl_plan_layer = {layer_steps, COUNT(layer_steps), R1};

static const bl_plan_step mean_steps[] = {
    {BL_PLAN_SEGMENT_MEAN, R1, {R0, BL_PLAN_SEGMENTS}, BL_SIZE_SEQUENCES, BL_SIZE_HIDDEN, BL_LINEAR},
    {.op = BL_PLAN_RELEASE, .in = {R0}},
};

static const bl_plan_step cls_steps[] = {
    {BL_PLAN_GATHER, R1, {R0, BL_PLAN_CLS_INDEX}, BL_SIZE_SEQUENCES, BL_SIZE_HIDDEN, BL_LINEAR},
    {.op = BL_PLAN_RELEASE, .in = {R0}},
};

static const bl_plan_step labels_steps[] = {
    {BL_PLAN_GATHER, R1, {R0, BL_PLAN_CLS_INDEX}, BL_SIZE_SEQUENCES, BL_SIZE_HIDDEN, BL_LINEAR},
    {BL_PLAN_LINEAR, R2, {R1, POOLER_DENSE_WEIGHT, POOLER_DENSE_BIAS}, BL_SIZE_SEQUENCES, BL_SIZE_HIDDEN, BL_TANH},
    {.op = BL_PLAN_RELEASE, .in = {R1}},
    {.op = BL_PLAN_RELEASE, .in = {R0}},
    {BL_PLAN_LINEAR, R0, {R2, CLASSIFIER_WEIGHT, CLASSIFIER_BIAS}, BL_SIZE_SEQUENCES, BL_SIZE_LABELS, BL_LINEAR},
    {.op = BL_PLAN_RELEASE, .in = {R2}},
};

static const bl_plan_step tags_steps[] = {
    {BL_PLAN_LINEAR, R1, {R0, CLASSIFIER_WEIGHT, CLASSIFIER_BIAS}, BL_SIZE_TOKENS, BL_SIZE_LABELS, BL_LINEAR},
    {.op = BL_PLAN_RELEASE, .in = {R0}},
};

static const bl_plan_step spans_steps[] = {
    {BL_PLAN_LINEAR, R1, {R0, QA_OUTPUTS_WEIGHT, QA_OUTPUTS_BIAS}, BL_SIZE_TOKENS, BL_SIZE_2, BL_LINEAR},
    {.op = BL_PLAN_RELEASE, .in = {R0}},
};

static const bl_plan_step words_steps[] = {
    {BL_PLAN_GATHER, R1, {R0, BL_PLAN_MASKED_INDEX}, BL_SIZE_PLACES, BL_SIZE_HIDDEN, BL_LINEAR},
    {BL_PLAN_LINEAR, R2, {R1, CLS_PREDICTIONS_TRANSFORM_DENSE_WEIGHT, CLS_PREDICTIONS_TRANSFORM_DENSE_BIAS},
     BL_SIZE_PLACES, BL_SIZE_HIDDEN, BL_GELU},
    {.op = BL_PLAN_RELEASE, .in = {R1}},
    {BL_PLAN_LAYERNORM, R1, {R2, 0, CLS_PREDICTIONS_TRANSFORM_LAYERNORM_WEIGHT,
     CLS_PREDICTIONS_TRANSFORM_LAYERNORM_BIAS}, BL_SIZE_PLACES, BL_SIZE_HIDDEN, BL_LINEAR},
    {.op = BL_PLAN_RELEASE, .in = {R2}},
    {BL_PLAN_LINEAR, R2, {R1, EMBEDDINGS_WORD_EMBEDDINGS_WEIGHT, CLS_PREDICTIONS_BIAS}, BL_SIZE_PLACES,
     BL_SIZE_VOCABULARY, BL_LINEAR},
    {.op = BL_PLAN_RELEASE, .in = {R1}},
    {.op = BL_PLAN_RELEASE, .in = {R0}},
};

const bl_plan_part bl_plan_heads[BL_HEADS] = {
    [BL_HEAD_HIDDEN] = {NULL, 0, R0},
    [BL_HEAD_MEAN] = {mean_steps, COUNT(mean_steps), R1},
    [BL_HEAD_CLS] = {cls_steps, COUNT(cls_steps), R1},
    [BL_HEAD_LABELS] = {labels_steps, COUNT(labels_steps), R0},
    [BL_HEAD_TAGS] = {tags_steps, COUNT(tags_steps), R1},
    [BL_HEAD_SPANS] = {spans_steps, COUNT(spans_steps), R1},
    [BL_HEAD_WORDS] = {words_steps, COUNT(words_steps), R2},
};
