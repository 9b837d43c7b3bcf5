/*
 * encoder.h - what the files of this room share: the folder of a model, and the
 * computation from token ids to numbers.
 *
 * folder.c reads a folder; ids.c turns texts into ids; compute.c runs the plan
 * (plan.h) over sequences in a workspace (workspace.c); embed.c, classify.c,
 * tokens.c, answer.c and fill_mask.c are the public calls.
 */
#ifndef BERTLUA_ENCODER_ENCODER_H
#define BERTLUA_ENCODER_ENCODER_H

#include "core/internal.h"

/* What config.json says of the size. */
typedef struct bl_model_size {
    int32_t hidden_size;
    int32_t layers;
    int32_t attention_heads;
    int32_t intermediate_size;
    int32_t vocab_size;
    int32_t positions;
    int32_t types;
    float layer_norm_eps;
    bool gelu_tanh; /* GELU in its tanh form */
} bl_model_size;

/* How questions are read: as the model was fine-tuned, else SQuAD's usual values. */
typedef struct bl_answer_settings {
    int32_t max_seq_length;
    int32_t doc_stride;
    int32_t max_query_length;
    int32_t n_best_size;
    int32_t max_answer_length;
    double null_score_diff_threshold;
} bl_answer_settings;

/* A folder as read; parameters are only named. */
typedef struct bl_model_folder {
    char *path;
    char *config_path;
    bl_model_size size;
    char **weight_files; /* safetensors; none where the options hold the parameters */
    int32_t weight_file_count;
    char *architecture; /* class named by config.json; NULL */
    char **labels;      /* names of config.json's id2label, in order; NULL */
    int32_t label_count;
    int32_t problem; /* BL_PROBLEM_...; -1 if config.json does not say */
    bl_tokenizer *tokenizer;
    bool lower_case;    /* of the tokenizer */
    int32_t max_length; /* as asked for, else as recorded, else the positions; at least 3 */
    int32_t pooling;    /* bl_pooling, with BL_POOL_NORMALIZED: of modules.json or the run, else the mean */
    bool pooling_said;
    char *pooling_problem; /* why BL_POOL_MODEL cannot be computed; NULL */
    bl_answer_settings answers;
    char **notes; /* one line each: what is read otherwise than it may seem */
    int32_t note_count;
} bl_model_folder;

bl_status bl_folder_open(bl_model_folder *out, const char *path, const bl_encoder_options *options);
void bl_folder_close(bl_model_folder *folder);

/* Which numbers a computation ends in. */
typedef enum bl_head {
    BL_HEAD_HIDDEN, /* out [total tokens, H] */
    BL_HEAD_MEAN,   /* out [n, H] */
    BL_HEAD_CLS,    /* out [n, H] */
    BL_HEAD_LABELS, /* scores of texts, before softmax: out [n, labels] */
    BL_HEAD_TAGS,   /* scores of every token: out [total tokens, labels] */
    BL_HEAD_SPANS,  /* start and end scores: out [total tokens, 2] */
    BL_HEAD_WORDS   /* scores of the vocabulary at `places`: out [place_count, vocab_size] */
} bl_head;

/* Sequences of token ids, special tokens included, one behind the other. */
typedef struct bl_sequences {
    int64_t count;
    const int32_t *ids;
    const int64_t *offsets;       /* [count + 1] */
    const int32_t *first_lengths; /* [count] tokens of type 0; the others have type 1 */
    const int64_t *places;        /* BL_HEAD_WORDS: indices into ids, ascending */
    int64_t place_count;
} bl_sequences;

/*
 * Run the model over sequences of at most max_length tokens; out in their
 * order. Sorted by length and cut into batches that fit a workspace. (The
 * library exports it for the specs of heads, not for programs.)
 */
bl_status bl_encoder_compute(bl_encoder *encoder, bl_head head, const bl_sequences *sequences, float *out);
/* Whether one text of the folder's max_length fits into the options' memory. */
bl_status bl_encoder_check_memory(bl_encoder *encoder);

/* The error of a call whose head the encoder lacks: which it has, and what to do. */
bl_status bl_encoder_lacks(const bl_encoder_info *info, const char *op, const char *head);

struct bl_model;      /* parameters and plan */
struct bl_workspaces; /* contexts and arenas, taken and given back */

struct bl_encoder {
    bl_model_folder folder;
    bl_encoder_options options;
    struct bl_model *model;
    struct bl_workspaces *workspaces;
};

/* Token ids of a text or a pair with special tokens, cut to max_length. */
typedef struct bl_ids {
    int32_t *ids;
    int64_t count, capacity;
    int64_t *offsets; /* [sequences + 1] */
    int32_t *first_lengths;
    int64_t sequences, sequence_capacity;
    bl_encoding *encoding;
} bl_ids;
bl_status bl_ids_create(bl_ids *ids);
void bl_ids_free(bl_ids *ids);
/*
 * Append one sequence; *length (may be NULL) is what it had before it was cut. `number` names it in messages, as
 * texts[number]; -1: "the text". On failure the ids are as before.
 */
bl_status bl_ids_add(bl_ids *ids, const bl_encoder *encoder, const char *op, int64_t number, const char *text,
                     const char *pair, int32_t *length);
/* The same by hand: tokens, then the end of a sequence of which first_length tokens are of type 0. */
bl_status bl_ids_append(bl_ids *ids, const char *op, const int32_t *tokens, int64_t count);
bl_status bl_ids_close(bl_ids *ids, const char *op, int64_t first_length);
void bl_ids_clear(bl_ids *ids);
/* All of them for bl_encoder_compute; valid until the next call with ids. */
bl_sequences bl_ids_sequences(const bl_ids *ids);
/* Refuse NULL and what is not UTF-8; what and number as above: "text" becomes texts[number]. */
bl_status bl_text_check(const char *op, const char *what, int64_t number, const char *text);

#endif
