/*
 * stream.c - a text of any encoding, compressed or not, as a row of pieces.
 * What xz and zstd compressed is left out: their own programs read it.
 */
#include "harness.h"

static const char *const ENCODINGS[] = {NULL,      "UTF-8", "ISO-8859-1",  "windows-1252", "UTF-16LE", "Shift_JIS",
                                        "GB18030", "UTF-7", "ISO-2022-JP", "EUC-KR",       "UTF-32BE", "BIG5-HKSCS"};

static bool is_programs(const bl_fuzz_input *in) {
    return (in->bytes >= 5 && memcmp(in->data,
                                     "\xfd"
                                     "7zXZ",
                                     5) == 0) ||
           (in->bytes >= 4 && memcmp(in->data, "\x28\xb5\x2f\xfd", 4) == 0);
}

/* Pieces are whole characters without NUL; together they are the file where it is plain UTF-8. */
static void read_pieces(bl_text_stream *stream, const bl_fuzz_input *in, bool replace) {
    const char *text;
    int64_t bytes, total = 0;
    bl_status status;
    bl_text_format format;
    while ((status = bl_text_stream_read(stream, &text, &bytes)) == BL_OK && bytes > 0) {
        CHECK(bl_utf8_check(text, bytes) < 0 && !memchr(text, 0, (size_t) bytes));
        total += bytes;
        bl_text_stream_describe(stream, &format);
        CHECK(format.position >= 0 && format.position <= (int64_t) in->bytes);
    }
    bl_text_stream_describe(stream, &format);
    CHECK(replace || format.replaced == 0);
    if (status != BL_OK) {
        CHECK_REFUSED(status);
    } else if (!format.packing[0] && strcmp(format.encoding, "UTF-8") == 0 && format.replaced == 0 &&
               format.line_ends != 2) {
        CHECK(total == (int64_t) in->bytes - format.mark_bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    bl_fuzz_input in = {data, bytes};
    const char *encoding = ENCODINGS[take(&in, 1) % (sizeof ENCODINGS / sizeof *ENCODINGS)];
    bool replace = take(&in, 1) & 1;
    if (is_programs(&in)) return 0;
    bl_text_stream *stream = NULL;
    bl_status status = bl_text_stream_open(&stream, as_file(in.data, in.bytes), encoding, replace);
    if (status == BL_OK) {
        read_pieces(stream, &in, replace);
    } else {
        CHECK_REFUSED(status);
    }
    bl_text_stream_close(stream);
    return 0;
}
