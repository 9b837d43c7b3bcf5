/*
 * cpu.h - kernels of the CPU backend, one per entry of the backend table, with
 * the signature of the public op. Arguments were validated by the caller.
 */
#ifndef BERTLUA_CPU_CPU_H
#define BERTLUA_CPU_CPU_H

#include "core/backend.h"

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
__typeof__(bl_shard_grad_norm) bl_cpu_shard_grad_norm;
__typeof__(bl_shard_grad_factor) bl_cpu_shard_grad_factor;
__typeof__(bl_shard_lamb_moments) bl_cpu_shard_lamb_moments;
__typeof__(bl_shard_lamb_apply) bl_cpu_shard_lamb_apply;

#endif
