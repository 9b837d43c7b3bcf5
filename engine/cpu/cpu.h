/*
 * cpu.h - kernels of the CPU backend, one per entry of the backend table, with
 * the signature of the public op. Arguments were validated by the caller.
 */
#ifndef BERTLUA_CPU_CPU_H
#define BERTLUA_CPU_CPU_H

#include "core/backend.h"

/* device.c */
bl_status bl_cpu_event_create(bl_context *ctx, bool timed, void **out);
void bl_cpu_event_destroy(bl_context *ctx, void *mark);
bl_status bl_cpu_event_record(bl_context *ctx, void *mark, int32_t stream);
bl_status bl_cpu_event_wait(bl_context *ctx, void *mark, int32_t stream);
bl_status bl_cpu_event_synchronize(bl_context *ctx, void *mark);
bl_status bl_cpu_event_query(bl_context *ctx, void *mark, bool *done);
bl_status bl_cpu_event_elapsed(bl_context *ctx, void *begin, void *end, double *seconds);
bl_status bl_cpu_pinned_allocate(bl_context *ctx, size_t bytes, void **out);
void bl_cpu_pinned_free(bl_context *ctx, void *data);
bl_status bl_cpu_upload_async(bl_context *ctx, bl_tensor *dst, const void *src, size_t bytes, int32_t stream);
bl_status bl_cpu_download_async(bl_context *ctx, void *dst, const bl_tensor *src, size_t bytes, int32_t stream);
bl_status bl_cpu_memory_info(bl_context *ctx, uint64_t *free_bytes, uint64_t *total_bytes);

__typeof__(bl_copy) bl_cpu_copy;
__typeof__(bl_fill) bl_cpu_fill;
__typeof__(bl_fill_normal) bl_cpu_fill_normal;
__typeof__(bl_fill_uniform) bl_cpu_fill_uniform;

__typeof__(bl_linear_forward) bl_cpu_linear_forward;
__typeof__(bl_linear_backward) bl_cpu_linear_backward;
__typeof__(bl_attention_forward) bl_cpu_attention_forward;
__typeof__(bl_attention_backward) bl_cpu_attention_backward;

__typeof__(bl_layernorm_forward) bl_cpu_layernorm_forward;
__typeof__(bl_layernorm_backward) bl_cpu_layernorm_backward;
__typeof__(bl_embedding_forward) bl_cpu_embedding_forward;
__typeof__(bl_embedding_backward) bl_cpu_embedding_backward;
__typeof__(bl_gather_forward) bl_cpu_gather_forward;
__typeof__(bl_gather_backward) bl_cpu_gather_backward;
__typeof__(bl_cross_entropy_forward) bl_cpu_cross_entropy_forward;
__typeof__(bl_cross_entropy_backward) bl_cpu_cross_entropy_backward;
__typeof__(bl_span_loss_forward) bl_cpu_span_loss_forward;
__typeof__(bl_span_loss_backward) bl_cpu_span_loss_backward;
__typeof__(bl_gelu_forward) bl_cpu_gelu_forward;
__typeof__(bl_gelu_backward) bl_cpu_gelu_backward;
__typeof__(bl_tanh_forward) bl_cpu_tanh_forward;
__typeof__(bl_tanh_backward) bl_cpu_tanh_backward;
__typeof__(bl_dropout_forward) bl_cpu_dropout_forward;
__typeof__(bl_dropout_backward) bl_cpu_dropout_backward;
__typeof__(bl_axpby) bl_cpu_axpby;
__typeof__(bl_softmax) bl_cpu_softmax;
__typeof__(bl_reduce) bl_cpu_reduce;
__typeof__(bl_topk) bl_cpu_topk;

__typeof__(bl_grad_norm) bl_cpu_grad_norm;
__typeof__(bl_lamb_update) bl_cpu_lamb_update;
__typeof__(bl_adamw_update) bl_cpu_adamw_update;
__typeof__(bl_loss_scale_update) bl_cpu_loss_scale_update;
__typeof__(bl_partition_grad_norm) bl_cpu_partition_grad_norm;
__typeof__(bl_partition_grad_factor) bl_cpu_partition_grad_factor;
__typeof__(bl_partition_lamb_moments) bl_cpu_partition_lamb_moments;
__typeof__(bl_partition_lamb_apply) bl_cpu_partition_lamb_apply;

#endif
