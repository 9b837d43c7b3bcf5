/*
 * safetensors_header.c - a strict parser for the JSON header of a safetensors
 * file. It accepts exactly what the format allows and nothing else, never
 * reads past the text, and checks that the byte ranges tile the data.
 */
#include "storage/safetensors.h"

#include <stdlib.h>
#include <string.h>

typedef struct parser {
    const char *path;
    const char *start;
    const char *p;
    const char *end;
} parser;

/* One-line reason with the byte where it was found. */
static bl_status broken(const parser *in, const char *what) {
    return bl_fail(BL_ERROR_FORMAT,
                   "%s: broken safetensors header: %s at byte %zu of the header; the file is damaged, fetch or "
                   "save it again",
                   in->path, what, (size_t) (in->p - in->start));
}

static bl_status no_memory(const parser *in) {
    return bl_fail(BL_ERROR_MEMORY, "%s: out of memory for the safetensors header", in->path);
}

static void skip_space(parser *in) {
    while (in->p < in->end && (*in->p == ' ' || *in->p == '\t' || *in->p == '\n' || *in->p == '\r'))
        in->p++;
}

/* Next character after white space, without taking it; 0 at the end. */
static char peek(parser *in) {
    skip_space(in);
    return in->p < in->end ? *in->p : 0;
}

static bl_status expect(parser *in, char c, const char *what) {
    if (peek(in) != c) return broken(in, what);
    in->p++;
    return BL_OK;
}

static bl_status hex4(parser *in, uint32_t *out) {
    if (in->end - in->p < 4) return broken(in, "cut-off \\u escape");
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = in->p[i];
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t) (c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t) (c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t) (c - 'A' + 10);
        else
            return broken(in, "bad \\u escape");
        value = value * 16 + digit;
    }
    in->p += 4;
    *out = value;
    return BL_OK;
}

static char *put_utf8(char *out, uint32_t c) {
    if (c < 0x80) {
        *out++ = (char) c;
    } else if (c < 0x800) {
        *out++ = (char) (0xC0 | (c >> 6));
        *out++ = (char) (0x80 | (c & 63));
    } else if (c < 0x10000) {
        *out++ = (char) (0xE0 | (c >> 12));
        *out++ = (char) (0x80 | ((c >> 6) & 63));
        *out++ = (char) (0x80 | (c & 63));
    } else {
        *out++ = (char) (0xF0 | (c >> 18));
        *out++ = (char) (0x80 | ((c >> 12) & 63));
        *out++ = (char) (0x80 | ((c >> 6) & 63));
        *out++ = (char) (0x80 | (c & 63));
    }
    return out;
}

/* Length of the well-formed UTF-8 sequence at p (Unicode, table 3-7); 0 if there is none. */
static size_t utf8_length(const unsigned char *p, size_t left) {
    unsigned char c = p[0];
    size_t n = c < 0x80 ? 1 : c >= 0xC2 && c <= 0xDF ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c <= 0xF4 ? 4 : 0;
    if (n == 0 || n > left) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if (c == 0xE0 && p[1] < 0xA0) return 0;
    if (c == 0xED && p[1] > 0x9F) return 0;
    if (c == 0xF0 && p[1] < 0x90) return 0;
    if (c == 0xF4 && p[1] > 0x8F) return 0;
    return n;
}

static bl_status parse_escape(parser *in, char **out) {
    if (in->p >= in->end) return broken(in, "cut-off escape");
    char c = *in->p++;
    uint32_t code;
    switch (c) {
    case '"':
    case '\\':
    case '/':
        code = (uint32_t) c;
        break;
    case 'b':
        code = '\b';
        break;
    case 'f':
        code = '\f';
        break;
    case 'n':
        code = '\n';
        break;
    case 'r':
        code = '\r';
        break;
    case 't':
        code = '\t';
        break;
    case 'u': {
        BL_TRY(hex4(in, &code));
        if (code >= 0xDC00 && code <= 0xDFFF) return broken(in, "lone surrogate");
        if (code >= 0xD800 && code <= 0xDBFF) {
            uint32_t low;
            if (in->end - in->p < 2 || in->p[0] != '\\' || in->p[1] != 'u') return broken(in, "lone surrogate");
            in->p += 2;
            BL_TRY(hex4(in, &low));
            if (low < 0xDC00 || low > 0xDFFF) return broken(in, "lone surrogate");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        break;
    }
    default:
        return broken(in, "unknown escape");
    }
    /* Names are handed out as C strings. */
    if (code == 0) return broken(in, "NUL in a string");
    *out = put_utf8(*out, code);
    return BL_OK;
}

/* A JSON string as a fresh C string. */
static bl_status parse_string(parser *in, char **out) {
    BL_TRY(expect(in, '"', "expected a string"));
    const char *close = in->p;
    while (close < in->end && *close != '"') {
        if (*close == '\\' && close + 1 < in->end) close++;
        close++;
    }
    if (close == in->end) return broken(in, "string without an end");
    /* No escape is shorter than what it stands for, so the raw length is enough. */
    char *text = malloc((size_t) (close - in->p) + 1);
    if (!text) return no_memory(in);
    char *t = text;
    bl_status status = BL_OK;
    while (status == BL_OK && *in->p != '"') {
        unsigned char c = (unsigned char) *in->p;
        if (c == '\\') {
            in->p++;
            status = parse_escape(in, &t);
            continue;
        }
        size_t n = utf8_length((const unsigned char *) in->p, (size_t) (close - in->p));
        if (c < 0x20 || n == 0) {
            status = broken(in, c < 0x20 ? "control character in a string" : "bytes that are not UTF-8");
            break;
        }
        memcpy(t, in->p, n);
        t += n;
        in->p += n;
    }
    if (status != BL_OK) {
        free(text);
        return status;
    }
    in->p++;
    *t = 0;
    *out = text;
    return BL_OK;
}

/* A non-negative integer below 2^63 without sign, fraction, exponent or leading zero. */
static bl_status parse_integer(parser *in, uint64_t *out) {
    if (peek(in) < '0' || *in->p > '9') return broken(in, "expected a non-negative integer");
    if (*in->p == '0' && in->p + 1 < in->end && in->p[1] >= '0' && in->p[1] <= '9')
        return broken(in, "integer with a leading zero");
    uint64_t value = 0;
    while (in->p < in->end && *in->p >= '0' && *in->p <= '9') {
        uint64_t digit = (uint64_t) (*in->p - '0');
        if (value > ((uint64_t) INT64_MAX - digit) / 10) return broken(in, "integer too large");
        value = value * 10 + digit;
        in->p++;
    }
    if (in->p < in->end && (*in->p == '.' || *in->p == 'e' || *in->p == 'E'))
        return broken(in, "expected an integer, got a fraction or exponent");
    *out = value;
    return BL_OK;
}

/* [integer, ...] of at most limit values. */
static bl_status parse_integers(parser *in, uint64_t *values, int32_t limit, int32_t *count) {
    BL_TRY(expect(in, '[', "expected a list"));
    *count = 0;
    if (peek(in) == ']') {
        in->p++;
        return BL_OK;
    }
    for (;;) {
        if (*count == limit) return broken(in, "list too long");
        BL_TRY(parse_integer(in, &values[(*count)++]));
        char c = peek(in);
        if (c != ',' && c != ']') return broken(in, "expected ',' or ']'");
        in->p++;
        if (c == ']') return BL_OK;
    }
}

/* After a member: takes ',' and says to continue, or takes '}' and says to stop. */
static bl_status next_member(parser *in, bool *more) {
    char c = peek(in);
    if (c != ',' && c != '}') return broken(in, "expected ',' or '}'");
    in->p++;
    *more = c == ',';
    return BL_OK;
}

static bl_status grow(const parser *in, void **items, size_t count, size_t *capacity, size_t bytes) {
    if (count < *capacity) return BL_OK;
    size_t wanted = *capacity ? *capacity * 2 : 16;
    void *moved = realloc(*items, wanted * bytes);
    if (!moved) return no_memory(in);
    *items = moved;
    *capacity = wanted;
    return BL_OK;
}

static bl_status parse_metadata(parser *in, bl_safetensors_header *header) {
    BL_TRY(expect(in, '{', "expected __metadata__ to be an object"));
    bool more = peek(in) != '}';
    if (!more) in->p++;
    while (more) {
        void *items = header->metadata;
        BL_TRY(grow(in, &items, header->metadata_count, &header->metadata_capacity, sizeof *header->metadata));
        header->metadata = items;
        bl_safetensors_pair *pair = &header->metadata[header->metadata_count];
        *pair = (bl_safetensors_pair){0};
        BL_TRY(parse_string(in, &pair->key));
        header->metadata_count++;
        BL_TRY(expect(in, ':', "expected ':'"));
        BL_TRY(parse_string(in, &pair->value));
        BL_TRY(next_member(in, &more));
    }
    return BL_OK;
}

static bl_status parse_dtype(parser *in, bl_safetensors_tensor *t) {
    enum { LONGEST_DTYPE = 32 };
    BL_TRY(parse_string(in, &t->dtype));
    if (strlen(t->dtype) > LONGEST_DTYPE)
        return bl_fail(BL_ERROR_FORMAT, "%s: tensor %.200s has the unknown dtype %.32s", in->path, t->name, t->dtype);
    t->type = bl_stored_type_find(t->dtype, strlen(t->dtype));
    /* Newer than this reader: refused when the tensor is read, and only then. */
    if (!t->type) t->type = &bl_stored_unknown;
    return BL_OK;
}

static bl_status parse_shape(parser *in, bl_safetensors_tensor *t) {
    uint64_t values[BL_SAFETENSORS_MAX_DIMS];
    BL_TRY(parse_integers(in, values, BL_SAFETENSORS_MAX_DIMS, &t->ndim));
    for (int32_t i = 0; i < t->ndim; i++)
        t->shape[i] = (int64_t) values[i];
    return BL_OK;
}

static bl_status parse_offsets(parser *in, bl_safetensors_tensor *t) {
    uint64_t values[2];
    int32_t count;
    BL_TRY(parse_integers(in, values, 2, &count));
    if (count != 2) return broken(in, "data_offsets needs two integers");
    t->begin = values[0];
    t->end = values[1];
    return BL_OK;
}

/* dtype x shape against the byte range. */
static bl_status check_range(const parser *in, const bl_safetensors_tensor *t) {
    uint64_t bits = t->type->bits;
    int64_t step = 1;
    bool overflow = false, known = bits > 0;
    for (int32_t i = 0; i < t->ndim; i++) {
        overflow = overflow || __builtin_mul_overflow(bits, (uint64_t) t->shape[i], &bits);
        /* Also where the dtype is not known or another dimension is 0: strides are products of dimensions. */
        overflow = overflow || __builtin_mul_overflow(step, t->shape[i] ? t->shape[i] : 1, &step);
    }
    bool fits = !overflow && (!known || (bits % 8 == 0 && t->end - t->begin == bits / 8));
    if (t->end < t->begin || !fits)
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: tensor %.200s takes bytes %llu to %llu, which is not its shape times its dtype %s; the "
                       "file is damaged, fetch or save it again",
                       in->path, t->name, (unsigned long long) t->begin, (unsigned long long) t->end, t->dtype);
    return BL_OK;
}

static bl_status parse_tensor(parser *in, bl_safetensors_tensor *t) {
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
    BL_TRY(expect(in, '{', "expected a tensor's description"));
    bool more = peek(in) != '}';
    if (!more) in->p++;
    int seen = 0;
    while (more) {
        char *key = NULL;
        BL_TRY(parse_string(in, &key));
        int field = strcmp(key, "dtype") == 0          ? DTYPE
                    : strcmp(key, "shape") == 0        ? SHAPE
                    : strcmp(key, "data_offsets") == 0 ? OFFSETS
                                                       : 0;
        free(key);
        if (field == 0) return broken(in, "unknown field of a tensor");
        if (seen & field) return broken(in, "field given twice");
        seen |= field;
        BL_TRY(expect(in, ':', "expected ':'"));
        if (field == DTYPE) BL_TRY(parse_dtype(in, t));
        if (field == SHAPE) BL_TRY(parse_shape(in, t));
        if (field == OFFSETS) BL_TRY(parse_offsets(in, t));
        BL_TRY(next_member(in, &more));
    }
    if (seen != (DTYPE | SHAPE | OFFSETS)) return broken(in, "tensor without dtype, shape or data_offsets");
    return check_range(in, t);
}

static bl_status parse_header(parser *in, bl_safetensors_header *header) {
    /* The format's document asks for '{' first; its reference implementation lets white space precede it. */
    if (peek(in) != '{') return broken(in, "it does not start with '{'");
    in->p++;
    bool more = peek(in) != '}';
    if (!more) in->p++;
    bool metadata_seen = false;
    while (more) {
        char *key = NULL;
        BL_TRY(parse_string(in, &key));
        if (strcmp(key, "__metadata__") == 0) {
            free(key);
            if (metadata_seen) return broken(in, "__metadata__ given twice");
            metadata_seen = true;
            BL_TRY(expect(in, ':', "expected ':'"));
            BL_TRY(parse_metadata(in, header));
        } else {
            void *items = header->tensors;
            bl_status status = grow(in, &items, header->count, &header->capacity, sizeof *header->tensors);
            if (status != BL_OK) {
                free(key);
                return status;
            }
            header->tensors = items;
            bl_safetensors_tensor *t = &header->tensors[header->count++];
            *t = (bl_safetensors_tensor){.name = key};
            BL_TRY(expect(in, ':', "expected ':'"));
            BL_TRY(parse_tensor(in, t));
        }
        BL_TRY(next_member(in, &more));
    }
    skip_space(in);
    if (in->p != in->end) return broken(in, "text after the closing '}'");
    return BL_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const bl_safetensors_tensor *) a)->name, ((const bl_safetensors_tensor *) b)->name);
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(((const bl_safetensors_pair *) a)->key, ((const bl_safetensors_pair *) b)->key);
}

static int compare_ranges(const void *a, const void *b) {
    const bl_safetensors_tensor *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* The ranges, in order, must cover [0, data_bytes) exactly. */
static bl_status check_tiling(const parser *in, bl_safetensors_header *header, uint64_t data_bytes) {
    if (header->count > 1) qsort(header->tensors, header->count, sizeof *header->tensors, compare_ranges);
    uint64_t reached = 0;
    for (size_t i = 0; i < header->count; i++) {
        const bl_safetensors_tensor *t = &header->tensors[i];
        if (t->begin != reached)
            return bl_fail(BL_ERROR_FORMAT,
                           "%s: tensor %.200s starts at byte %llu of the data, the one before it ends at %llu: the "
                           "file has a hole or an overlap; fetch or save it again",
                           in->path, t->name, (unsigned long long) t->begin, (unsigned long long) reached);
        reached = t->end;
    }
    if (reached > data_bytes)
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: truncated: the header promises %llu bytes of data, the file has %llu; fetch or save it "
                       "again",
                       in->path, (unsigned long long) reached, (unsigned long long) data_bytes);
    if (reached < data_bytes)
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: %llu bytes follow the last tensor; the file is damaged, fetch or save it again", in->path,
                       (unsigned long long) (data_bytes - reached));
    return BL_OK;
}

static bl_status check_duplicates(const parser *in, bl_safetensors_header *header) {
    if (header->count > 1) qsort(header->tensors, header->count, sizeof *header->tensors, compare_names);
    for (size_t i = 1; i < header->count; i++)
        if (strcmp(header->tensors[i - 1].name, header->tensors[i].name) == 0)
            return bl_fail(BL_ERROR_FORMAT, "%s: tensor %.200s appears twice in the header", in->path,
                           header->tensors[i].name);
    if (header->metadata_count > 1)
        qsort(header->metadata, header->metadata_count, sizeof *header->metadata, compare_keys);
    for (size_t i = 1; i < header->metadata_count; i++)
        if (strcmp(header->metadata[i - 1].key, header->metadata[i].key) == 0)
            return bl_fail(BL_ERROR_FORMAT, "%s: metadata key %.200s appears twice in the header", in->path,
                           header->metadata[i].key);
    return BL_OK;
}

bl_status bl_safetensors_header_parse(bl_safetensors_header *out, const char *path, const char *text, size_t bytes,
                                      uint64_t data_bytes) {
    parser in = {.path = path, .start = text, .p = text, .end = text + bytes};
    bl_safetensors_header header = {0};
    bl_status status = parse_header(&in, &header);
    if (status == BL_OK) status = check_tiling(&in, &header, data_bytes);
    if (status == BL_OK) status = check_duplicates(&in, &header);
    if (status != BL_OK) {
        bl_safetensors_header_free(&header);
        return status;
    }
    *out = header;
    return BL_OK;
}

void bl_safetensors_header_free(bl_safetensors_header *header) {
    for (size_t i = 0; i < header->count; i++) {
        free(header->tensors[i].name);
        free(header->tensors[i].dtype);
    }
    for (size_t i = 0; i < header->metadata_count; i++) {
        free(header->metadata[i].key);
        free(header->metadata[i].value);
    }
    free(header->tensors);
    free(header->metadata);
    *header = (bl_safetensors_header){0};
}
