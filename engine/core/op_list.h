/*
 * op_list.h - every op, once. The backend's table (backend.h), the prototypes
 * of the kernels (cpu/cpu.h, cuda/cuda.h) and the rows of both tables are made
 * from this list.
 *
 * Adding an op, say rmsnorm, on the CPU first:
 *
 *   1. api/ops.h: declare bl_rmsnorm_forward and bl_rmsnorm_backward; say what
 *      they compute, the shapes, and what is overwritten or accumulated;
 *   2. here: CPU(rmsnorm_forward, rmsnorm) and CPU(rmsnorm_backward, rmsnorm);
 *   3. ops/rmsnorm.c: check the arguments and call the table (check.h);
 *   4. cpu/rmsnorm.c: bl_cpu_rmsnorm_forward and bl_cpu_rmsnorm_backward, with
 *      the signatures of the public ops, on arguments that were checked;
 *   5. bindings/bertlua/ops.lua: the same two, without the context;
 *   6. lua/bertlua/autograd/functional.lua, or a file beside it: rmsnorm on a
 *      tape;
 *   7. spec/engine/ops/rmsnorm_spec.lua: against the formula in float64, and
 *      what the checks reject;
 *   8. the spec of the file of step 6: gradients against finite differences.
 *
 * On a GPU it is then an error that names the op and what to do, and its specs
 * are pending there. With cuda/rmsnorm.cu the rows become BOTH; a kernel that a
 * row promises but nobody wrote is a link error.
 */
#ifndef BERTLUA_CORE_OP_LIST_H
#define BERTLUA_CORE_OP_LIST_H

/*
 * A row says which backends have the op, its name, which is that of its
 * function without bl_, and the name of the files that hold it: ops/FILE.c (or
 * optim/FILE.c), cpu/FILE.c, cuda/FILE.cu and spec/engine/.../FILE_spec.lua.
 */
#define BL_OP_LIST(BOTH, CPU, CUDA)                                                                                    \
    BOTH(copy, copy)                                                                                                   \
    BOTH(fill, fill)                                                                                                   \
    BOTH(fill_normal, fill)                                                                                            \
    BOTH(fill_uniform, fill)                                                                                           \
    BOTH(linear_forward, linear)                                                                                       \
    BOTH(linear_backward, linear)                                                                                      \
    CPU(pack, packed_linear)                                                                                           \
    CPU(packed_free, packed_linear)                                                                                    \
    CPU(packed_shape, packed_linear)                                                                                   \
    CPU(packed_linear_forward, packed_linear)                                                                          \
    BOTH(attention_forward, attention)                                                                                 \
    BOTH(attention_backward, attention)                                                                                \
    BOTH(layernorm_forward, layernorm)                                                                                 \
    BOTH(layernorm_backward, layernorm)                                                                                \
    BOTH(embedding_forward, embedding)                                                                                 \
    BOTH(embedding_backward, embedding)                                                                                \
    BOTH(gather_forward, gather)                                                                                       \
    BOTH(gather_backward, gather)                                                                                      \
    BOTH(segment_mean_forward, segment_mean)                                                                           \
    BOTH(segment_mean_backward, segment_mean)                                                                          \
    BOTH(cross_entropy_forward, cross_entropy)                                                                         \
    BOTH(cross_entropy_backward, cross_entropy)                                                                        \
    BOTH(span_loss_forward, span_loss)                                                                                 \
    BOTH(span_loss_backward, span_loss)                                                                                \
    BOTH(gelu_forward, elementwise)                                                                                    \
    BOTH(gelu_backward, elementwise)                                                                                   \
    BOTH(tanh_forward, elementwise)                                                                                    \
    BOTH(tanh_backward, elementwise)                                                                                   \
    BOTH(dropout_forward, elementwise)                                                                                 \
    BOTH(dropout_backward, elementwise)                                                                                \
    BOTH(axpby, elementwise)                                                                                           \
    BOTH(unary_forward, unary)                                                                                         \
    BOTH(unary_backward, unary)                                                                                        \
    BOTH(affine, unary)                                                                                                \
    BOTH(binary, broadcast)                                                                                            \
    BOTH(binary_backward, broadcast)                                                                                   \
    BOTH(compare, broadcast)                                                                                           \
    BOTH(where, broadcast)                                                                                             \
    BOTH(softmax, softmax)                                                                                             \
    BOTH(softmax_backward, softmax)                                                                                    \
    BOTH(log_softmax_forward, softmax)                                                                                 \
    BOTH(log_softmax_backward, softmax)                                                                                \
    BOTH(matmul, product)                                                                                              \
    BOTH(rmsnorm_forward, rmsnorm)                                                                                     \
    BOTH(rmsnorm_backward, rmsnorm)                                                                                    \
    BOTH(glu_forward, glu)                                                                                             \
    BOTH(glu_backward, glu)                                                                                            \
    BOTH(rotary, rotary)                                                                                               \
    BOTH(reduce, reduce)                                                                                               \
    BOTH(reduce_dims, reduce_dims)                                                                                     \
    BOTH(reduce_dims_backward, reduce_dims)                                                                            \
    BOTH(argmax, reduce_dims)                                                                                          \
    BOTH(topk, topk)                                                                                                   \
    BOTH(grad_norm, grad_norm)                                                                                         \
    BOTH(lamb_update, lamb)                                                                                            \
    BOTH(adamw_update, adamw)                                                                                          \
    BOTH(loss_scale_update, loss_scale)                                                                                \
    BOTH(partition_grad_norm, partition)                                                                               \
    BOTH(partition_grad_factor, partition)                                                                             \
    BOTH(partition_lamb_moments, partition)                                                                            \
    BOTH(partition_lamb_apply, partition)

/* For the rows that an expansion leaves out. */
#define BL_NO_ROW(op, file)

#endif
