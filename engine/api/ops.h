/*
 * ops.h - fused, differentiable operations of a BERT-class encoder.
 *
 * Part of the public C API (include "bertlua.h"). Shapes: B batch, S sequence,
 * T rows (B*S padded, or the sum of lengths when packed), H hidden, A heads,
 * D = H/A head size, N output features, K input features, V vocabulary.
 *
 * Conventions of every op:
 *  - outputs first, then inputs, then scalars; outputs are caller-allocated,
 *    contiguous and overwritten, unless marked "accumulated"; last what ops
 *    hand to each other to save a pass over memory, NULL in a plain call;
 *  - gradients of parameters (dw, dbias, dgamma, ...) are f32 and accumulated;
 *    gradients of activations (dx, ...) are overwritten;
 *  - "act" is the activation dtype: f32, bf16 or f16, the same for all act
 *    arguments of one call. Reductions, softmax, statistics accumulate in f32;
 *  - a NULL output is not computed; an optional input may be NULL;
 *  - an id, index or label out of range is BL_ERROR_ARGUMENT on the CPU. A
 *    kernel on a GPU cannot report it: there the row it selects (or the loss)
 *    is NaN, its gradient goes nowhere, and nothing out of range is touched.
 */
#ifndef BERTLUA_API_OPS_H
#define BERTLUA_API_OPS_H

#include "core.h"

/* CDEF-BEGIN */

/*
 * Dropout. Element i of an op takes 16 random bits: piece i % 8, counted from
 * the low half of the first word, of Philox block (counter = {i / 8, op, step
 * low, step high}, key = seed). It is dropped when they are below p in steps of
 * 2^-16, rounded to nearest; kept elements are scaled by 1 / (1 - the share
 * dropped), so that expectations are exact, though the share differs from p by
 * up to 2^-17 (p = 0.1: 0.100006). state is an i64 [2] tensor on the op's
 * device: {seed, step}. op numbers the call within the step. p = 0, or a NULL
 * dropout, switches it off. No mask is stored but in attention.
 */
typedef struct bl_dropout {
    const bl_tensor *state; /* i64 [2] */
    float p;                /* 0 <= p < 1 */
    uint32_t op;
} bl_dropout;

typedef enum bl_activation { BL_LINEAR = 0, BL_GELU = 1, BL_TANH = 2, BL_GELU_TANH = 3 } bl_activation;

/*
 * y = f(x w^T + bias). x act [T,K], w act [N,K], bias f32 or act [N] (NULL:
 * none), y act or f32 [T,N]. f is the identity, tanh, or GELU (arXiv
 * 1606.08415) in its erf form (BL_GELU) or its tanh form. With GELU, pre act [T,N] receives x w^T + bias for the
 * backward (NULL in inference); otherwise pre is NULL. x may have a row stride above K, and y
 * one above N where f is the identity: columns of a wider tensor. A GPU rounds
 * the bias to the dtype of the product before it adds it.
 */
bl_status bl_linear_forward(bl_context *ctx, bl_tensor *y, bl_tensor *pre, const bl_tensor *x, const bl_tensor *w,
                            const bl_tensor *bias, int32_t activation);
/*
 * dx act [T,K], dw f32 [N,K], dbias f32 [N] (each NULL to skip). With `add`
 * dw and dbias are added to, else written, whatever they held. dy [T,N] is CLOBBERED when the activation
 * is not BL_LINEAR. saved is `pre` for GELU, `y` for tanh, else NULL.
 *
 * What ops before and after this one save each other, each NULL where not: dy_sums f32 [N], the sums of dy over
 * its rows where the op that computed dy has them (BL_LINEAR only), so that dbias takes no pass over dy. x_pre
 * act [T,K]: x is GELU of it in the tanh form, and dx becomes the gradient by x_pre instead of that by x.
 * dx_sums f32 [K]: written with the sums of dx over its rows; on a GPU perhaps rounded to the dtype of dx.
 * add_to_dx: dx holds another gradient of x, to which this one is added before the sum is rounded; not with x_pre
 * or dx_sums.
 */
bl_status bl_linear_backward(bl_context *ctx, bl_tensor *dx, bl_tensor *dw, bl_tensor *dbias, bl_tensor *dy,
                             const bl_tensor *x, const bl_tensor *w, const bl_tensor *saved, int32_t activation,
                             bool add, const bl_tensor *dy_sums, const bl_tensor *x_pre, bl_tensor *dx_sums,
                             bool add_to_dx);

/*
 * The weights of a linear layer made ready once for many forwards, in memory of
 * their own: w act or i8 [N,K] in the layout that the CPU multiplies fastest. It
 * is only read afterwards, so any number of contexts may use it at once. scales:
 * f32 [N] for an i8 w, whose row j stands for scales[j] w[j]; else NULL. *out is
 * NULL where packing gains nothing and w itself is to be used (never for i8, which
 * becomes f32 on a CPU without fast products of integers). On the CPU only.
 */
typedef struct bl_packed bl_packed;
bl_status bl_pack(bl_context *ctx, bl_packed **out, const bl_tensor *w, const bl_tensor *scales);
/* The context that packed it must still be open. NULL is allowed. */
void bl_packed_free(bl_context *ctx, bl_packed *packed);
/* [N,K], the dtype that x must have, and whether products are of integers. */
void bl_packed_shape(bl_context *ctx, const bl_packed *packed, int64_t shape[2], int32_t *dtype, bool *integers);
/*
 * y = f(x w^T + bias) as bl_linear_forward, without pre; x of the packed dtype,
 * which is f32 for i8 weights. Of these, each row of x is rounded to 256 steps
 * between its smallest and its largest element (128 where the CPU has no VNNI),
 * and sums of products are exact. A row with inf or NaN gives NaN.
 */
bl_status bl_packed_linear_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_packed *packed,
                                   const bl_tensor *bias, int32_t activation);

/*
 * Multi-head self-attention: out = dropout(softmax(Q K^T * scale)) V per head
 * (arXiv 1706.03762, eq. 1). qkv act [T,3H]: row = q | k | v, each A heads of
 * D. segments i32 [B,2]: first row and length of each sequence; queries and
 * keys of one sequence meet only each other. Rows outside every segment
 * (padding) get 0. stats f32 [B,A,max_length]: log-sum-exp of each query row,
 * for the backward (entries past a length are unspecified). kept i32 [B,A,W],
 * W = bl_attention_kept_words(): bits of the elements that dropout keeps, for
 * the backward, in a layout of the device's own. Both may be NULL where there
 * is no backward; kept is not touched without dropout. Dropout element index:
 * ((b*A + a)*max_length + query)*S + key, S = max_length rounded up to a
 * multiple of 8.
 */
bl_status bl_attention_forward(bl_context *ctx, bl_tensor *out, bl_tensor *stats, bl_tensor *kept, const bl_tensor *qkv,
                               const bl_tensor *segments, int32_t heads, int32_t max_length, float scale,
                               const bl_dropout *dropout);
/*
 * dqkv act [T,3H], rows outside every segment 0; sums f32 [3H] (NULL to skip) is written with the sums of dqkv over
 * its rows. out, stats, kept (with dropout), qkv as in the forward.
 */
bl_status bl_attention_backward(bl_context *ctx, bl_tensor *dqkv, const bl_tensor *dout, const bl_tensor *out,
                                const bl_tensor *stats, const bl_tensor *kept, const bl_tensor *qkv,
                                const bl_tensor *segments, int32_t heads, int32_t max_length, float scale,
                                const bl_dropout *dropout, bl_tensor *sums);
/*
 * Words of kept for a sequence and head: a bit per element of whole tiles of 64 queries and 64 keys. 0, and kept NULL,
 * where attention is cuDNN's, which draws again.
 */
int64_t bl_attention_kept_words(const bl_context *ctx, int32_t max_length);

/*
 * z = dropout(x) + residual; y = (z - mean) * rstd * gamma + beta over rows
 * of H (arXiv 1607.06450), rstd = 1 / sqrt(var + eps). x, residual, z, y act
 * [T,H]; residual may be NULL. z may be the same memory as x; z may be NULL
 * in inference. gamma, beta f32 [H]; mean, rstd f32 [T] (NULL in inference).
 * Plain layer normalisation is this op with no residual and no dropout.
 */
bl_status bl_layernorm_forward(bl_context *ctx, bl_tensor *y, bl_tensor *z, bl_tensor *mean, bl_tensor *rstd,
                               const bl_tensor *x, const bl_tensor *residual, const bl_tensor *gamma,
                               const bl_tensor *beta, float eps, const bl_dropout *dropout);
/*
 * dx act [T,H] = dz through the dropout; dresidual act [T,H] = dz (NULL to
 * skip; may be the same memory as dy). dgamma, dbeta f32 [H] accumulated.
 * sums f32 [H] (NULL to skip) is written with the sums of dx over its rows.
 */
bl_status bl_layernorm_backward(bl_context *ctx, bl_tensor *dx, bl_tensor *dresidual, bl_tensor *dgamma,
                                bl_tensor *dbeta, const bl_tensor *dy, const bl_tensor *z, const bl_tensor *mean,
                                const bl_tensor *rstd, const bl_tensor *gamma, const bl_dropout *dropout,
                                bl_tensor *sums);

/*
 * y = dropout(layernorm(word[ids] + position[positions] + type[types])).
 * Tables act: word [V,H], position [Smax,H], type [C,H]; ids, positions, types
 * i32 [T]; y act [T,H]; gamma, beta f32 [H]; mean, rstd f32 [T] (NULL in
 * inference).
 */
bl_status bl_embedding_forward(bl_context *ctx, bl_tensor *y, bl_tensor *mean, bl_tensor *rstd, const bl_tensor *word,
                               const bl_tensor *position, const bl_tensor *type, const bl_tensor *ids,
                               const bl_tensor *positions, const bl_tensor *types, const bl_tensor *gamma,
                               const bl_tensor *beta, float eps, const bl_dropout *dropout);
/* dword, dposition, dtype, dgamma, dbeta f32, accumulated in an order that does not depend on the thread count. */
bl_status bl_embedding_backward(bl_context *ctx, bl_tensor *dword, bl_tensor *dposition, bl_tensor *dtype,
                                bl_tensor *dgamma, bl_tensor *dbeta, const bl_tensor *dy, const bl_tensor *mean,
                                const bl_tensor *rstd, const bl_tensor *word, const bl_tensor *position,
                                const bl_tensor *type, const bl_tensor *ids, const bl_tensor *positions,
                                const bl_tensor *types, const bl_tensor *gamma, const bl_dropout *dropout);

/* y act [M,H] = x act [T,H] at rows index i32 [M]. */
bl_status bl_gather_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *index);
/* dx act [T,H]: sum of the dy rows that were taken from each row, 0 elsewhere. */
bl_status bl_gather_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *index);

/*
 * y act [B,H] = mean of the rows of x act [T,H] that belong to each of segments
 * i32 [B,2] {first row, length}; 0 where the length is 0. Summed in f32.
 */
bl_status bl_segment_mean_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *segments);
/* dx act [T,H] = dy[b] / length in the rows of segment b, 0 elsewhere; segments share no row. */
bl_status bl_segment_mean_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *segments);

/*
 * Mean softmax cross-entropy over the rows whose label is not -1. logits act
 * or f32 [M,V]; only the first `classes` columns count (vocabulary padding is
 * masked out); labels i32 [M]; loss f32 [1] (0 when every row is ignored);
 * lse f32 [M] for the backward; correct f32 [1] or NULL: fraction of counted
 * rows whose largest logit is the label.
 */
bl_status bl_cross_entropy_forward(bl_context *ctx, bl_tensor *loss, bl_tensor *lse, bl_tensor *correct,
                                   const bl_tensor *logits, const bl_tensor *labels, int64_t classes);
/* dlogits [M,V] may be the same memory as logits; dloss f32 [1]. Columns past `classes` and ignored rows get 0. */
bl_status bl_cross_entropy_backward(bl_context *ctx, bl_tensor *dlogits, const bl_tensor *logits,
                                    const bl_tensor *labels, const bl_tensor *lse, const bl_tensor *dloss,
                                    int64_t classes);

/*
 * Span loss of extractive question answering: (CE(start) + CE(end)) / 2.
 * logits act or f32 [T,2] (column 0 start, 1 end); segments i32 [B,2] as in
 * attention; starts, ends i32 [B] relative to the segment; a position outside
 * its segment is ignored, as in BertForQuestionAnswering. lse f32 [B,2].
 */
bl_status bl_span_loss_forward(bl_context *ctx, bl_tensor *loss, bl_tensor *lse, const bl_tensor *logits,
                               const bl_tensor *segments, const bl_tensor *starts, const bl_tensor *ends);
bl_status bl_span_loss_backward(bl_context *ctx, bl_tensor *dlogits, const bl_tensor *logits, const bl_tensor *segments,
                                const bl_tensor *starts, const bl_tensor *ends, const bl_tensor *lse,
                                const bl_tensor *dloss);

/* Elementwise, any shape, act dtypes, contiguous. The output may be an input. */
bl_status bl_gelu_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x);
bl_status bl_gelu_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x);
bl_status bl_tanh_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x);
bl_status bl_tanh_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y);
bl_status bl_dropout_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_dropout *dropout);
bl_status bl_dropout_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_dropout *dropout);
/* y = a * x + b * y (y accumulated when b = 1, overwritten without being read when b = 0). */
bl_status bl_axpby(bl_context *ctx, bl_tensor *y, const bl_tensor *x, float a, float b);

/*
 * y = f(x) of each element, in f32 and rounded once. x, y act of one shape and dtype, contiguous; y may be x. The
 * kinds with a number a: POW x^a, EXPONENTIAL a^x, RECIPROCAL a / x, CLAMP_MIN the larger of x and a, CLAMP_MAX the
 * smaller. GELU_TANH is the tanh form of GELU (arXiv 1606.08415), SILU x * sigmoid(x). NaN stays NaN.
 */
typedef enum bl_unary_kind {
    BL_UNARY_NEG = 0,
    BL_UNARY_EXP = 1,
    BL_UNARY_LOG = 2,
    BL_UNARY_SQRT = 3,
    BL_UNARY_ABS = 4,
    BL_UNARY_RELU = 5,
    BL_UNARY_SILU = 6,
    BL_UNARY_GELU_TANH = 7,
    BL_UNARY_SIGMOID = 8,
    BL_UNARY_POW = 9,
    BL_UNARY_EXPONENTIAL = 10,
    BL_UNARY_RECIPROCAL = 11,
    BL_UNARY_CLAMP_MIN = 12,
    BL_UNARY_CLAMP_MAX = 13
} bl_unary_kind;
bl_status bl_unary_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t kind, float a);
/*
 * dx = dy * f'(x), may be the same memory as dy. EXP, SQRT, RELU, SIGMOID and EXPONENTIAL read y (x may be NULL), NEG
 * neither, the others x (y may be NULL). At a kink: ABS and RELU 0, CLAMP_MIN and CLAMP_MAX dy.
 */
bl_status bl_unary_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x, const bl_tensor *y,
                            int32_t kind, float a);
/* y = a * x + b of each element: x, y act of one shape and dtype, contiguous; y may be x. */
bl_status bl_affine(bl_context *ctx, bl_tensor *y, const bl_tensor *x, float a, float b);

/*
 * Two operands that broadcast: shapes are compared from the last dimension, a
 * size of 1 or a missing dimension is repeated. Any strides; y is contiguous
 * and has the larger sizes. y may be the memory of an operand that is
 * contiguous and has y's shape.
 *
 * y = a kind b. a, b, y of one dtype: act, i32 or i64; DIV and POW only act.
 * Act in f32, rounded once; integers wrap around. MAXIMUM and MINIMUM are NaN
 * where an operand is.
 */
typedef enum bl_binary_kind {
    BL_BINARY_ADD = 0,
    BL_BINARY_SUB = 1,
    BL_BINARY_MUL = 2,
    BL_BINARY_DIV = 3,
    BL_BINARY_POW = 4,
    BL_BINARY_MAXIMUM = 5,
    BL_BINARY_MINIMUM = 6
} bl_binary_kind;
bl_status bl_binary(bl_context *ctx, bl_tensor *y, const bl_tensor *a, const bl_tensor *b, int32_t kind);
/*
 * da = dy * (derivative by a), db = dy * (derivative by b), each of dy's shape
 * (NULL to skip): bl_reduce_dims sums them where a or b was repeated. da, db of
 * dy's dtype or f32; dy, a, b act of one dtype, dy contiguous. da and db must
 * not be the memory of an input. Where a = b, MAXIMUM and MINIMUM give each half.
 */
bl_status bl_binary_backward(bl_context *ctx, bl_tensor *da, bl_tensor *db, const bl_tensor *dy, const bl_tensor *a,
                             const bl_tensor *b, int32_t kind);
/* mask i8 = 1 where a kind b, else 0. a and b broadcast, of one dtype, any. Nothing but NE is true of NaN. */
typedef enum bl_comparison {
    BL_COMPARE_EQ = 0,
    BL_COMPARE_NE = 1,
    BL_COMPARE_LT = 2,
    BL_COMPARE_LE = 3,
    BL_COMPARE_GT = 4,
    BL_COMPARE_GE = 5
} bl_comparison;
bl_status bl_compare(bl_context *ctx, bl_tensor *mask, const bl_tensor *a, const bl_tensor *b, int32_t kind);
/* y = a where mask is not 0, else b. mask i8, a and b broadcast; a, b, y of one dtype: act, i32 or i64. */
bl_status bl_where(bl_context *ctx, bl_tensor *y, const bl_tensor *mask, const bl_tensor *a, const bl_tensor *b);

/* y = softmax(x) over the last dimension. */
bl_status bl_softmax(bl_context *ctx, bl_tensor *y, const bl_tensor *x);
/* dx = y * (dy - sum(dy * y)) over the last dimension; any shape, y of the forward; dx may be dy. */
bl_status bl_softmax_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y);
/* y = x - log(sum(exp(x))) over the last dimension, any shape of 1 dimension or more; y may be x. */
bl_status bl_log_softmax_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x);
/* dx = dy - exp(y) * sum(dy) over the last dimension, y of the forward; dx may be dy. */
bl_status bl_log_softmax_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *y);

/*
 * y = a b, or y += a b with accumulate. a act [...,M,K], b act [...,K,N] of one
 * dtype, 2 to 4 dimensions each; y [...,M,N], of that dtype or f32. Dimensions
 * before the last two count from the right: equal, or 1, or absent, and then
 * repeated (broadcast). a and b may be views in which one of the last two
 * dimensions has stride 1, so a transposed one costs no copy; y lies elsewhere
 * than a and b. Sums are in f32, and y is rounded once.
 */
bl_status bl_matmul(bl_context *ctx, bl_tensor *y, const bl_tensor *a, const bl_tensor *b, bool accumulate);

/*
 * y = x * rstd * gamma over rows of H, rstd = 1 / sqrt(mean(x^2) + eps) (arXiv
 * 1910.07467). x, y act [T,H]; gamma f32 [H]; rstd f32 [T] for the backward
 * (NULL in inference, where y may be x).
 */
bl_status bl_rmsnorm_forward(bl_context *ctx, bl_tensor *y, bl_tensor *rstd, const bl_tensor *x, const bl_tensor *gamma,
                             float eps);
/* dx act [T,H] (NULL to skip; may be dy); dgamma f32 [H] accumulated (NULL to skip). */
bl_status bl_rmsnorm_backward(bl_context *ctx, bl_tensor *dx, bl_tensor *dgamma, const bl_tensor *dy,
                              const bl_tensor *x, const bl_tensor *rstd, const bl_tensor *gamma);

/*
 * Gated linear units (arXiv 2002.05202): y = value * f(gate), where row t of x
 * act [T,2I] is value | gate, I columns each, and y is act [T,I]. f is the
 * sigmoid (GLU), GELU in its erf form (GEGLU) or its tanh form (arXiv
 * 1606.08415), SiLU (SwiGLU) or ReLU (ReGLU, derivative 0 at 0).
 */
typedef enum bl_gate {
    BL_GATE_SIGMOID = 0,
    BL_GATE_GELU = 1,
    BL_GATE_GELU_TANH = 2,
    BL_GATE_SILU = 3,
    BL_GATE_RELU = 4
} bl_gate;
bl_status bl_glu_forward(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t gate);
/* dx act [T,2I], which may be x; dy act [T,I]. */
bl_status bl_glu_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x, int32_t gate);

/*
 * Rotary position embedding (arXiv 2104.09864) of queries and keys, in the
 * layout of GPT-NeoX and transformers: with D = H / heads, even, the elements i
 * and i + D/2 of each head are turned by the angle position * base^(-2i/D), i =
 * 0 ... D/2 - 1; values are copied. x, y act [T,3H], rows as in attention;
 * positions i32 [T], 0 or more. inverse turns back: the backward of the forward
 * (dx of dy). y may be x.
 */
bl_status bl_rotary(bl_context *ctx, bl_tensor *y, const bl_tensor *x, const bl_tensor *positions, int32_t heads,
                    float base, bool inverse);

/* Reductions of all elements to f32 [1]; accumulated in f64 in a fixed order. x is any float dtype, contiguous. */
typedef enum bl_reduction { BL_SUM = 0, BL_MEAN = 1, BL_MAX = 2, BL_MIN = 3, BL_NORM = 4 } bl_reduction;
bl_status bl_reduce(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t reduction);
/*
 * SUM, MEAN, MAX or MIN along dimensions: y has as many as x, of size 1 where x is reduced and of x's size elsewhere;
 * so it also sums a gradient that was broadcast. x act or i8 with any strides, y act (f32 for i8), contiguous. Sums
 * in f64 in a fixed order, rounded once. MAX and MIN are NaN where an element is.
 */
bl_status bl_reduce_dims(bl_context *ctx, bl_tensor *y, const bl_tensor *x, int32_t reduction);
/*
 * dx of x's shape = dy, divided by the number of elements for MEAN; for MAX and MIN divided evenly among the elements
 * that equal y, 0 for the others. dx, dy act, contiguous; x, y as in the forward, NULL for SUM and MEAN.
 */
bl_status bl_reduce_dims_backward(bl_context *ctx, bl_tensor *dx, const bl_tensor *dy, const bl_tensor *x,
                                  const bl_tensor *y, int32_t reduction);
/*
 * index i32: of the largest element along dimension dim (from 0), counted from 0; the first of equal ones, or the
 * first NaN. x act with any strides, at most 2^31 - 1 elements along dim; index has its sizes, but 1 at dim.
 */
bl_status bl_argmax(bl_context *ctx, bl_tensor *index, const bl_tensor *x, int32_t dim);
/* Largest k values of each row of x [M,V], descending, ties by lower index; values f32 [M,k], indices i32 [M,k]. */
bl_status bl_topk(bl_context *ctx, bl_tensor *values, bl_tensor *indices, const bl_tensor *x, int32_t k);

/* CDEF-END */

#endif
