/*
 * encoder.h - a trained BERT with its tokenizer, from text to vectors, labels,
 * answers and words.
 *
 * Part of the public C API (include "bertlua.h"). The text between the two
 * CDEF markers is plain C without macros: the Lua bindings feed it to ffi.cdef
 * as it stands.
 *
 * Threads: one encoder serves any number of threads at once. Each call takes a
 * workspace of its own; no lock is held while it computes. When as many calls
 * run as the memory allows, the next one waits for a workspace.
 *
 * Texts are UTF-8, NUL-terminated, else refused (BL_ERROR_FORMAT, as is whatever
 * else is wrong with a text); [MASK], [SEP] and the other special tokens in them
 * are taken as such. A text of more than max_length tokens loses its end,
 * unless the options refuse it; bl_encoder_lengths tells before. An empty text
 * is a text, too: [CLS] [SEP].
 */
#ifndef BERTLUA_API_ENCODER_H
#define BERTLUA_API_ENCODER_H

#include "core.h"

/* CDEF-BEGIN */

/* A model, its tokenizer, and workspaces. */
typedef struct bl_encoder bl_encoder;

/* How the vectors of a text's tokens become one. NORMALIZED can be added to either. */
typedef enum bl_pooling {
    BL_POOL_MODEL = 0,      /* as the folder says (sentence-transformers' modules.json); else the mean */
    BL_POOL_MEAN = 1,       /* the mean over the text's tokens, special ones included */
    BL_POOL_CLS = 2,        /* the vector of [CLS] */
    BL_POOL_NORMALIZED = 16 /* divided by its Euclidean length (by 1e-12, if that is less) */
} bl_pooling;

/*
 * Parameters in memory, in place of a folder's files of them: each named as
 * transformers' class for the task saves it, with "bert." in front of the
 * encoder's. They are read where they lie if they are contiguous, on the
 * encoder's device and of its dtype, and must stay there as long as it is open.
 */
typedef struct bl_encoder_parameters {
    int64_t count;
    const char *const *names;
    const bl_tensor *tensors; /* f32, bf16 or f16 */
} bl_encoder_parameters;

/* All zero stands for the defaults. */
typedef struct bl_encoder_options {
    int32_t device; /* bl_device */
    int32_t device_index;
    int32_t threads;         /* of one call; 0: all cores that the process may use. Servers with many callers: 1 */
    int32_t dtype;           /* BL_F32; BL_BF16 or BL_F16 to compute in half precision (parameters are copied then),
                                where that is faster than f32: else it is f32, which info.dtype and a note tell */
    uint64_t memory;         /* bytes of working memory of all calls together, the model apart; 0: 1 GiB. oneDNN's
                                prepared products come on top: at most 10 MiB for each call that runs at once */
    int32_t max_length;      /* most tokens of a text; 0: what the folder records, else the model's positions */
    int32_t lower_case;      /* 0: as the folder says; 1: yes; -1: no */
    const char *vocab_file;  /* NULL: vocab.txt or tokenizer.json of the folder */
    bool refuse_long;        /* a text that is too long is an error */
    const char *config_file; /* NULL: config.json of the folder */
    const bl_encoder_parameters *parameters; /* NULL: those of the folder, which else holds the other files */
    bool share_parameters; /* read f32 parameters where they lie in the file, so that all processes that open it share
                              the memory; the CPU's calls are slower then (see below) */
} bl_encoder_options;

/*
 * Open a folder that bertlua or transformers wrote: config.json;
 * model.safetensors, or the files of model.safetensors.index.json; vocab.txt or
 * tokenizer.json. sentence-transformers' modules.json is read if it is there.
 * Parameters in f32 are mapped from the file, which must not change while the
 * encoder is open. For a CPU, the matrices of layers are packed into the layout
 * that it multiplies fastest, in memory of the encoder's own, and what the file
 * holds of them leaves memory; with share_parameters, processes that open the
 * same file share its memory instead. A folder that `bertlua quantize` wrote has
 * int8 matrices: on CPUs with VNNI several times as fast, in a quarter of the
 * memory. Other formats (pickles, .pdparams): `bertlua convert from-huggingface` first.
 */
bl_status bl_encoder_open(bl_encoder **out, const char *folder, const bl_encoder_options *options);
/* No call may be running. NULL is allowed. */
void bl_encoder_free(bl_encoder *encoder);

/* What the scores of a classifier are. */
enum { BL_PROBLEM_SINGLE = 0, BL_PROBLEM_MULTIPLE = 1, BL_PROBLEM_VALUES = 2 };

typedef struct bl_encoder_info {
    int32_t hidden_size;
    int32_t layers;
    int32_t attention_heads;
    int32_t vocab_size;
    int32_t max_length;
    int32_t labels;   /* of the classifier of texts or of words; 0 without one */
    int32_t problem;  /* BL_PROBLEM_..., of texts */
    int32_t pooling;  /* what BL_POOL_MODEL stands for */
    bool fills_masks; /* which heads it has */
    bool classifies;
    bool tags;
    bool answers;
    uint64_t parameters;     /* their number */
    uint64_t bytes_of_calls; /* working memory held now */
    bool lower_case;         /* of the tokenizer */
    int32_t dtype;           /* computed in: BL_F32, BL_BF16, BL_F16 */
    bool int8;               /* matrices of the layers are int8 */
} bl_encoder_info;
bl_status bl_encoder_describe(bl_encoder *encoder, bl_encoder_info *out);
/* Name of a label; NULL outside [0, labels). Valid as long as the encoder. */
const char *bl_encoder_label(const bl_encoder *encoder, int32_t index);
/*
 * What is read otherwise than a file of the folder may suggest, one line each:
 * keys that are not known, rows that no token belongs to, tokens that are not
 * looked for, a checkpoint in place of a run's model. NULL past the last. Valid as long as the encoder.
 */
const char *bl_encoder_note(const bl_encoder *encoder, int32_t index);

/* Tokens of each text, or pair, with special tokens, before anything is cut. pairs may be NULL; lengths [n]. */
bl_status bl_encoder_lengths(bl_encoder *encoder, const char *const *texts, const char *const *pairs, int64_t n,
                             int32_t *lengths);

/* One vector a text: out [n, hidden_size]. pooling: bl_pooling. Computed sorted by length, without padding. */
bl_status bl_encoder_embed(bl_encoder *encoder, const char *const *texts, int64_t n, int32_t pooling, float *out);

/*
 * The last layer's output for each token of one text, or of a pair (NULL: none):
 * out [*rows, hidden_size], of which at most `capacity` rows are written; more
 * is an error.
 */
bl_status bl_encoder_hidden(bl_encoder *encoder, const char *text, const char *pair, int64_t capacity, float *out,
                            int64_t *rows);

/*
 * Scores of texts or pairs: scores [n, labels]. Probabilities that sum to 1
 * (softmax), one probability a label (sigmoid), or values, as info.problem says.
 */
bl_status bl_encoder_classify(bl_encoder *encoder, const char *const *texts, const char *const *pairs, int64_t n,
                              float *scores);

/*
 * The likeliest label of each word of a sentence, read at its first piece, and
 * its probability: labels, scores [n]. A sentence of more than max_length tokens
 * is read in windows that overlap by half. Words are taken as they stand: "[SEP]"
 * is no special token. One that no token is left of (white space, control
 * characters) is read as [UNK]; one of more pieces than fit loses its end.
 */
bl_status bl_encoder_tokens(bl_encoder *encoder, const char *const *words, int64_t n, int32_t *labels, float *scores);

typedef struct bl_encoder_answer {
    int64_t begin; /* bytes [begin, end) of the context; both 0: there is no answer (SQuAD v2.0) */
    int64_t end;
    float probability; /* among the spans considered */
} bl_encoder_answer;
/*
 * The part of the context that answers the question; a long context is read in
 * windows that overlap. Up to `capacity` answers with different texts, the
 * likeliest first; *count says how many, 0 if the model finds nothing that could
 * be one. allow_none: "no answer" is among them (for models trained on SQuAD
 * v2.0), and the first is what the recorded null_score_diff_threshold decides
 * for. Windows and lengths are those that the model was fine-tuned with, if the
 * folder records them, else 384, 128 and 64 tokens; answers have at most 30. A
 * question that is empty or longer than its limit is an error, and so is an empty
 * context.
 */
bl_status bl_encoder_answer_question(bl_encoder *encoder, const char *question, const char *context, bool allow_none,
                                     int32_t capacity, bl_encoder_answer *answers, int32_t *count);

typedef struct bl_guess {
    int32_t id;
    float probability;
    const char *token; /* valid as long as the encoder */
} bl_guess;
/*
 * The k likeliest tokens for each [MASK] of a text: guesses [masks, k], of which
 * at most `capacity` are written; *masks says how many [MASK] there are, also
 * where more than fit is an error. So is a text without [MASK], and one of more
 * than max_length tokens: what it would lose may be what is asked for.
 */
bl_status bl_encoder_fill_mask(bl_encoder *encoder, const char *text, int32_t k, int64_t capacity, bl_guess *guesses,
                               int64_t *masks);

/* ---- the same with all that can be set, for bindings ---- */

/* What cuts texts; valid as long as the encoder. */
const struct bl_tokenizer *bl_encoder_tokenizer(const bl_encoder *encoder);

/*
 * Token ids of a text, or of a pair (NULL: none), as the model sees them: ids
 * [*count], special tokens included, at most max_length. The first *first have
 * type 0. More than `capacity` is an error.
 */
bl_status bl_encoder_ids(bl_encoder *encoder, const char *text, const char *pair, int64_t capacity, int32_t *ids,
                         int64_t *count, int64_t *first);

/* Vectors of texts or pairs: pairs, and any of them, may be NULL. */
bl_status bl_encoder_embed_pairs(bl_encoder *encoder, const char *const *texts, const char *const *pairs, int64_t n,
                                 int32_t pooling, float *out);

/*
 * Words of several sentences, computed together: sentence s has words
 * [offsets[s], offsets[s + 1]). stride: pieces from the start of a window to
 * that of the next one; 0: half of max_length. *cut (may be NULL): how many
 * words lost pieces, since they have more than a window holds.
 */
bl_status bl_encoder_tag(bl_encoder *encoder, const char *const *words, const int64_t *offsets, int64_t sentences,
                         int32_t stride, int32_t *labels, float *scores, int64_t *cut);

/* 0 stands for what the model was fine-tuned with, else for the usual value. */
typedef struct bl_answer_options {
    int32_t max_seq_length;
    int32_t doc_stride;
    int32_t max_query_length;
    int32_t n_best_size;
    int32_t max_answer_length;
    int32_t batch_size; /* most windows computed at a time; 0: 32 */
    bool allow_none;
    bool has_threshold;
    double null_score_diff_threshold; /* where has_threshold */
} bl_answer_options;
/* options may be NULL. */
bl_status bl_encoder_answer_with(bl_encoder *encoder, const char *question, const char *context,
                                 const bl_answer_options *options, int32_t capacity, bl_encoder_answer *answers,
                                 int32_t *count);

/* Masks of several texts, computed together: those of text i are the next masks[i] * k guesses. masks [n]. */
bl_status bl_encoder_fill_masks(bl_encoder *encoder, const char *const *texts, int64_t n, int32_t k, int64_t capacity,
                                bl_guess *guesses, int64_t *masks);

/* CDEF-END */

#endif
