/* safetensors.c - a whole file: header, then every tensor in every dtype. */
#include "harness.h"

enum { MOST_ELEMENTS = 4096 };

static int64_t elements_of(const bl_safetensors_info *info) {
    int64_t count = 1;
    for (int32_t i = 0; i < info->ndim; i++) {
        CHECK(info->shape[i] >= 0);
        if (info->shape[i] == 0) return 0;
        /* Never an overflow: the parser compared the product with the file's size. */
        count *= info->shape[i];
    }
    return count;
}

static void read_as(const bl_safetensors *file, int64_t index, const bl_safetensors_info *info, int64_t elements,
                    int32_t dtype) {
    bl_tensor t = {.dtype = dtype, .ndim = info->ndim, .device = BL_CPU};
    size_t bytes = (size_t) elements * bl_dtype_size(dtype);
    char *data = malloc(bytes + 1);
    CHECK(data);
    t.data = data;
    int64_t stride = 1;
    for (int32_t i = info->ndim - 1; i >= 0; i--) {
        t.shape[i] = info->shape[i];
        t.stride[i] = stride;
        stride *= info->shape[i];
    }
    bl_status status = bl_safetensors_read(NULL, file, index, &t);
    if (status != BL_OK) CHECK_REFUSED(status);
    if (info->native == dtype) CHECK(status == BL_OK);
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const int32_t dtypes[] = {BL_F32, BL_BF16, BL_F16, BL_I64, BL_I32, BL_I8};
    bl_safetensors *file = NULL;
    bl_status status = bl_safetensors_open(&file, as_file(data, bytes));
    if (status != BL_OK) {
        CHECK_REFUSED(status);
        return 0;
    }
    uint64_t total = 0;
    for (int64_t i = 0; i < bl_safetensors_count(file); i++) {
        bl_safetensors_info info;
        CHECK(bl_safetensors_describe(file, i, &info) == BL_OK);
        CHECK(bl_safetensors_find(file, info.name) == i);
        CHECK(bl_utf8_check(info.name, (int64_t) strlen(info.name)) < 0);
        total += info.bytes;
        int64_t elements = elements_of(&info);
        if (info.ndim > BL_MAX_DIMS || elements > MOST_ELEMENTS) continue;
        for (size_t k = 0; k < sizeof dtypes / sizeof *dtypes; k++)
            read_as(file, i, &info, elements, dtypes[k]);
    }
    CHECK(total <= bytes);
    for (int64_t i = 0; i < bl_safetensors_metadata_count(file); i++) {
        const char *key, *value;
        CHECK(bl_safetensors_metadata(file, i, &key, &value) == BL_OK);
        CHECK(bl_utf8_check(key, (int64_t) strlen(key)) < 0 && bl_utf8_check(value, (int64_t) strlen(value)) < 0);
    }
    bl_safetensors_close(file);
    return 0;
}
