/*
 * model.h - the parameters of an open model, and which heads it has.
 */
#ifndef BERTLUA_ENCODER_MODEL_H
#define BERTLUA_ENCODER_MODEL_H

#include "encoder/plan.h"

/* A parameter of the plan: one tensor, or several that do not lie side by side. */
typedef struct bl_model_tensor {
    bl_tensor part[BL_PLAN_PARTS];
    int32_t parts;     /* 0: the model has none */
    bl_packed *packed; /* all of them, in place of the parts; NULL */
} bl_model_tensor;

struct bl_model {
    int32_t dtype; /* of activations */
    int32_t layers;
    int32_t attention_heads;
    float layer_norm_eps;
    bool gelu_tanh;          /* where the plan says GELU, it is the tanh form */
    int64_t sizes[BL_SIZES]; /* of the model; those of the batch are 0 */
    bool has[BL_HEADS];
    bool integers;                /* some of its matrices are int8 */
    uint64_t numel;               /* of all parameters */
    bl_context *ctx;              /* in which parameters were copied */
    bl_model_tensor *tensors;     /* row of bl_plan_parameters * layers + layer */
    struct bl_model_store *store; /* the memory behind them */
};

/* Maps the files of a folder and finds every parameter in them; one line about what is missing or of another shape. */
bl_status bl_model_open(struct bl_model **out, const bl_model_folder *folder, const bl_encoder_options *options);
void bl_model_close(struct bl_model *model);

/* A parameter as a step names it. */
static inline const bl_model_tensor *bl_model_find(const struct bl_model *model, bl_plan_operand operand,
                                                   int32_t layer) {
    int32_t row = operand - BL_PLAN_PARAMETER;
    return &model->tensors[row * model->layers + (bl_plan_parameters[row].layered ? layer : 0)];
}

#endif
