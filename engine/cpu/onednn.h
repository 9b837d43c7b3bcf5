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
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#if DNNL_VERSION_MAJOR >= 3

/* A description that someone else owns. */
typedef const_dnnl_memory_desc_t onednn_layout;

static inline onednn_layout onednn_layout_of(const dnnl_memory_desc_t *description) {
    return *description;
}

static inline dnnl_status_t onednn_copy(dnnl_memory_desc_t *out, onednn_layout from) {
    return dnnl_memory_desc_clone(out, from);
}

/* Describes a matrix whose layout oneDNN chooses. */
static inline dnnl_status_t onednn_describe_any(dnnl_memory_desc_t *out, const dnnl_dims_t dims,
                                                dnnl_data_type_t dtype) {
    return dnnl_memory_desc_create_with_tag(out, 2, dims, dtype, dnnl_format_tag_any);
}

/* True if the layout is one of blocks, which no strides describe. */
static inline bool onednn_is_blocked(onednn_layout layout) {
    int blocks = 0;
    return dnnl_memory_desc_query(layout, dnnl_query_inner_nblks_s32, &blocks) == dnnl_success && blocks > 0;
}

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

#else

typedef const dnnl_memory_desc_t *onednn_layout;

static inline onednn_layout onednn_layout_of(const dnnl_memory_desc_t *description) {
    return description;
}

static inline dnnl_status_t onednn_copy(dnnl_memory_desc_t *out, onednn_layout from) {
    *out = *from;
    return dnnl_success;
}

static inline dnnl_status_t onednn_describe_any(dnnl_memory_desc_t *out, const dnnl_dims_t dims,
                                                dnnl_data_type_t dtype) {
    return dnnl_memory_desc_init_by_tag(out, 2, dims, dtype, dnnl_format_tag_any);
}

static inline bool onednn_is_blocked(onednn_layout layout) {
    return layout->format_kind == dnnl_blocked && layout->format_desc.blocking.inner_nblks > 0;
}

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

#endif

static inline size_t onednn_bytes(onednn_layout layout) {
    return dnnl_memory_desc_get_size(layout);
}

/* NULL if it fails. */
static inline onednn_layout onednn_layout_of_memory(dnnl_memory_t memory) {
    onednn_layout layout = NULL;
    return dnnl_memory_get_memory_desc(memory, &layout) == dnnl_success ? layout : NULL;
}

/* True if it is the loop that oneDNN has where no fast code fits. */
static inline bool onednn_is_reference(const_dnnl_primitive_desc_t description) {
    const char *name = NULL;
    return dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &name) == dnnl_success && name &&
           strncmp(name, "ref", 3) == 0;
}

/* Bytes of what a query of a primitive's memory describes; 0 for nothing. */
static inline size_t onednn_queried_bytes(const_dnnl_primitive_desc_t description, dnnl_query_t query) {
    onednn_layout memory = dnnl_primitive_desc_query_md(description, query, 0);
    return memory ? onednn_bytes(memory) : 0;
}

#endif
