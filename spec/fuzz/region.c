/* region.c - a tensor anywhere in a file, with any strides: what the readers of pickles and archives ask for. */
#include "harness.h"

enum { MOST_ELEMENTS = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char *const types[] = {"F64", "F32", "F16", "BF16", "I64",  "I32",     "I16", "I8",
                                        "U64", "U32", "U16", "U8",   "BOOL", "F8_E4M3", "XX"};
    static const int32_t dtypes[] = {BL_F32, BL_BF16, BL_F16, BL_I64, BL_I32, BL_I8};
    bl_fuzz_input in = {data, bytes};
    bl_file_region region = {.name = "x"};
    region.dtype = types[take(&in, 1) % (sizeof types / sizeof *types)];
    region.ndim = (int32_t) (take(&in, 1) % 10);
    uint64_t flags = take(&in, 1);
    region.latin1 = (int32_t) (flags & 1);
    /* Mostly numbers that may be right, else any. */
    size_t width = flags & 2 ? 8 : 1;
    region.offset = take(&in, width);
    region.bytes = take(&in, width);
    region.first = take(&in, width);
    bl_tensor t = {.dtype = dtypes[take(&in, 1) % 6], .ndim = region.ndim, .device = BL_CPU};
    int64_t elements = 1;
    for (int32_t i = 0; i < 8 && i < region.ndim; i++) {
        region.shape[i] = (int64_t) (take(&in, 1) % 5);
        region.stride[i] = flags & 4 ? (int64_t) take(&in, 8) : (int64_t) (take(&in, 1) % 17);
        elements *= region.shape[i];
    }
    bool fits = region.ndim <= BL_MAX_DIMS && elements <= MOST_ELEMENTS;
    size_t room = fits ? (size_t) elements * bl_dtype_size(t.dtype) : 0;
    char *target = malloc(room + 1);
    CHECK(target);
    t.data = target;
    int64_t stride = 1;
    for (int32_t i = region.ndim - 1; fits && i >= 0; i--) {
        t.shape[i] = region.shape[i];
        t.stride[i] = stride;
        stride *= region.shape[i];
    }
    bl_status status = bl_file_read_tensor(NULL, as_file(in.data, in.bytes), &region, &t);
    if (status != BL_OK) CHECK_REFUSED(status);
    if (!fits) CHECK(status != BL_OK);
    free(target);
    return 0;
}
