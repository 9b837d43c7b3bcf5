/* text_stream.c - a text of the user's, compressed or not, in one of some encodings. */
#include "harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char *const ENCODINGS[] = {NULL,          "UTF-16LE", "UTF-32",    "windows-1252",
                                            "ISO-2022-JP", "GB18030",  "Shift_JIS", "UTF-7"};
    bl_fuzz_input in = {data, bytes};
    uint64_t which = take(&in, 1);
    /* These start a program, which is another project's to test. */
    if (in.bytes >= 4 && (memcmp(in.data,
                                 "\xfd"
                                 "7zX",
                                 4) == 0 ||
                          memcmp(in.data, "\x28\xb5\x2f\xfd", 4) == 0))
        return 0;
    bl_text_stream *stream = NULL;
    bl_status status = bl_text_stream_open(&stream, as_file(in.data, in.bytes), ENCODINGS[which & 7], which & 8);
    if (status != BL_OK) {
        CHECK_REFUSED(status);
        return 0;
    }
    int64_t total = 0;
    for (;;) {
        const char *text = NULL;
        int64_t found = 0;
        status = bl_text_stream_read(stream, &text, &found);
        if (status != BL_OK) CHECK_REFUSED(status);
        if (status != BL_OK || found == 0) break;
        CHECK(bl_utf8_check(text, found) < 0 && !memchr(text, 0, (size_t) found));
        /* A bomb is no bug: memory does not grow with it. */
        total += found;
        if (total > 64 << 20) break;
    }
    bl_text_format format;
    bl_text_stream_describe(stream, &format);
    CHECK(format.position >= 0 && format.position <= (int64_t) in.bytes && format.replaced >= 0);
    CHECK((which & 8) || format.replaced == 0);
    bl_text_stream_close(stream);
    return 0;
}
