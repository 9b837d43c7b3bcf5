/*
 * safetensors_convert.c - the element types of safetensors files and their
 * conversion on the host. Not a compute kernel: it runs once per load.
 */
#include "core/half.h"
#include "storage/safetensors.h"

#include <math.h>
#include <string.h>

/* In the order in which the format's reference implementation lays tensors out. */
static const bl_stored_type types[] = {
    {"U64", BL_STORED_U64, 64, -1},          {"I64", BL_STORED_I64, 64, BL_I64},
    {"F64", BL_STORED_F64, 64, -1},          {"C64", BL_STORED_OTHER, 64, -1},
    {"F32", BL_STORED_F32, 32, BL_F32},      {"U32", BL_STORED_U32, 32, -1},
    {"I32", BL_STORED_I32, 32, BL_I32},      {"BF16", BL_STORED_BF16, 16, BL_BF16},
    {"F16", BL_STORED_F16, 16, BL_F16},      {"U16", BL_STORED_U16, 16, -1},
    {"I16", BL_STORED_I16, 16, -1},          {"F8_E5M2FNUZ", BL_STORED_OTHER, 8, -1},
    {"F8_E4M3FNUZ", BL_STORED_OTHER, 8, -1}, {"F8_E8M0", BL_STORED_OTHER, 8, -1},
    {"F8_E4M3", BL_STORED_OTHER, 8, -1},     {"F8_E5M2", BL_STORED_OTHER, 8, -1},
    {"I8", BL_STORED_I8, 8, BL_I8},          {"U8", BL_STORED_U8, 8, -1},
    {"F6_E3M2", BL_STORED_OTHER, 6, -1},     {"F6_E2M3", BL_STORED_OTHER, 6, -1},
    {"F4", BL_STORED_OTHER, 4, -1},          {"BOOL", BL_STORED_BOOL, 8, -1},
};

const bl_stored_type bl_stored_unknown = {"unknown", BL_STORED_OTHER, 0, -1};

const bl_stored_type *bl_stored_type_find(const char *name, size_t length) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strlen(types[i].name) == length && memcmp(types[i].name, name, length) == 0) return &types[i];
    return NULL;
}

const bl_stored_type *bl_stored_type_of(int32_t dtype) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].native >= 0 && types[i].native == dtype) return &types[i];
    return NULL;
}

static double read_float(const unsigned char *p, bl_stored element) {
    uint16_t half;
    float single;
    double value;
    switch (element) {
    case BL_STORED_F16:
        memcpy(&half, p, sizeof half);
        return bl_f16_to_f32(half);
    case BL_STORED_BF16:
        memcpy(&half, p, sizeof half);
        return bl_bf16_to_f32(half);
    case BL_STORED_F32:
        memcpy(&single, p, sizeof single);
        return single;
    default:
        memcpy(&value, p, sizeof value);
        return value;
    }
}

/*
 * The f32 whose second rounding, to bf16 or f16, equals rounding value once:
 * towards zero, with the last bit set when inexact (round to odd).
 */
static float round_to_odd(double value) {
    float f = (float) value;
    if (isnan(value) || (double) f == value) return f;
    uint32_t bits = bl_float_bits(f);
    if (fabs((double) f) > fabs(value)) bits--;
    return bl_bits_float(bits | 1u);
}

static void write_float(unsigned char *p, int32_t dtype, double value) {
    if (dtype == BL_F32) {
        float f = (float) value;
        memcpy(p, &f, sizeof f);
        return;
    }
    float odd = round_to_odd(value);
    uint16_t h = dtype == BL_BF16 ? bl_f32_to_bf16(odd) : bl_f32_to_f16(odd);
    memcpy(p, &h, sizeof h);
}

/* Value of an integer element; false for a U64 that an int64 cannot hold. */
static bool read_integer(const unsigned char *p, bl_stored element, int64_t *value) {
    int32_t i32;
    int16_t i16;
    uint64_t u64;
    uint32_t u32;
    uint16_t u16;
    switch (element) {
    case BL_STORED_I64:
        memcpy(value, p, 8);
        return true;
    case BL_STORED_I32:
        memcpy(&i32, p, 4);
        *value = i32;
        return true;
    case BL_STORED_I16:
        memcpy(&i16, p, 2);
        *value = i16;
        return true;
    case BL_STORED_I8:
        *value = (int8_t) *p;
        return true;
    case BL_STORED_U64:
        memcpy(&u64, p, 8);
        *value = (int64_t) u64;
        return u64 <= (uint64_t) INT64_MAX;
    case BL_STORED_U32:
        memcpy(&u32, p, 4);
        *value = u32;
        return true;
    case BL_STORED_U16:
        memcpy(&u16, p, 2);
        *value = u16;
        return true;
    default:
        *value = *p;
        return true;
    }
}

static bool write_integer(unsigned char *p, int32_t dtype, int64_t value) {
    if (dtype == BL_I64) {
        memcpy(p, &value, 8);
    } else if (dtype == BL_I32) {
        if (value < INT32_MIN || value > INT32_MAX) return false;
        int32_t narrow = (int32_t) value;
        memcpy(p, &narrow, 4);
    } else {
        if (value < INT8_MIN || value > INT8_MAX) return false;
        *p = (unsigned char) (int8_t) value;
    }
    return true;
}

static bool is_float(bl_stored element) {
    return element == BL_STORED_F64 || element == BL_STORED_F32 || element == BL_STORED_F16 ||
           element == BL_STORED_BF16;
}

static uint32_t element_bytes(bl_stored element) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].element == element) return bl_stored_bytes(&types[i]);
    return 0;
}

int bl_stored_convert(void *dst, int32_t dtype, const void *src, bl_stored element, size_t count) {
    bool to_float = dtype == BL_F32 || dtype == BL_BF16 || dtype == BL_F16;
    if (element == BL_STORED_OTHER || is_float(element) != to_float) return 1;
    size_t in = element_bytes(element), out = bl_dtype_size(dtype);
    const unsigned char *from = src;
    unsigned char *to = dst;
    for (size_t i = 0; i < count; i++, from += in, to += out) {
        int64_t value;
        if (to_float)
            write_float(to, dtype, read_float(from, element));
        else if (!read_integer(from, element, &value) || !write_integer(to, dtype, value))
            return 2;
    }
    return 0;
}
