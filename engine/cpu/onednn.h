/*
 * onednn.h - the calls in which oneDNN 2 and 3 differ, under one name each.
 *
 * Version 2 describes memory in a struct of the caller's, version 3 in an
 * object that is created and destroyed; version 3 has no descriptors of
 * operations any more. Everything else is the same in both and is called by
 * oneDNN's own names.
 */
#ifndef BERTLUA_CPU_ONEDNN_H
#define BERTLUA_CPU_ONEDNN_H

#include <dnnl.h>
#include <dnnl_version.h>
#include <stddef.h>

#if DNNL_VERSION_MAJOR >= 3

/* Describes a tensor, to be released by onednn_release; NULL if it fails. */
static inline dnnl_status_t onednn_describe(dnnl_memory_desc_t *out, int ndims, const dnnl_dims_t dims,
                                            dnnl_data_type_t dtype, const dnnl_dims_t strides) {
    return dnnl_memory_desc_create_with_strides(out, ndims, dims, dtype, strides);
}

static inline void onednn_release(dnnl_memory_desc_t *description) {
    if (*description) dnnl_memory_desc_destroy(*description);
}

/* Describes C = A B; bias may be NULL. */
static inline dnnl_status_t onednn_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_memory_desc_t *a,
                                          dnnl_memory_desc_t *b, dnnl_memory_desc_t *bias, dnnl_memory_desc_t *c,
                                          const_dnnl_primitive_attr_t attributes) {
    return dnnl_matmul_primitive_desc_create(out, engine, *a, *b, bias ? *bias : NULL, *c, attributes);
}

/* The result is added to what C holds. */
static inline dnnl_status_t onednn_append_sum(dnnl_post_ops_t post) {
    return dnnl_post_ops_append_sum(post, 1.0f, 0, dnnl_data_type_undef);
}

static inline size_t onednn_queried_bytes(const_dnnl_primitive_desc_t description, dnnl_query_t query) {
    const_dnnl_memory_desc_t memory = dnnl_primitive_desc_query_md(description, query, 0);
    return memory ? dnnl_memory_desc_get_size(memory) : 0;
}

#else

static inline dnnl_status_t onednn_describe(dnnl_memory_desc_t *out, int ndims, const dnnl_dims_t dims,
                                            dnnl_data_type_t dtype, const dnnl_dims_t strides) {
    return dnnl_memory_desc_init_by_strides(out, ndims, dims, dtype, strides);
}

static inline void onednn_release(dnnl_memory_desc_t *description) {
    (void) description;
}

static inline dnnl_status_t onednn_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, dnnl_memory_desc_t *a,
                                          dnnl_memory_desc_t *b, dnnl_memory_desc_t *bias, dnnl_memory_desc_t *c,
                                          const_dnnl_primitive_attr_t attributes) {
    dnnl_matmul_desc_t operation;
    dnnl_status_t status = dnnl_matmul_desc_init(&operation, a, b, bias, c);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &operation, attributes, engine, NULL) : status;
}

static inline dnnl_status_t onednn_append_sum(dnnl_post_ops_t post) {
    return dnnl_post_ops_append_sum(post, 1.0f);
}

static inline size_t onednn_queried_bytes(const_dnnl_primitive_desc_t description, dnnl_query_t query) {
    const dnnl_memory_desc_t *memory = dnnl_primitive_desc_query_md(description, query, 0);
    return memory ? dnnl_memory_desc_get_size(memory) : 0;
}

#endif

#endif
