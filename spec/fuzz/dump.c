/* dump.c - a dump of a wiki, plain or bzip2, a range of it, and the same bytes as the index of one. */
#include "harness.h"

static void read_pages(bl_dump *dump, size_t bytes) {
    bl_wikitext *w = NULL;
    CHECK(bl_wikitext_create(&w, bl_dump_namespaces(dump), bl_dump_language(dump)) == BL_OK);
    for (;;) {
        bl_dump_page page;
        bool found = false;
        bl_status status = bl_dump_next(dump, &page, &found);
        if (status != BL_OK) CHECK_REFUSED(status);
        if (status != BL_OK || !found) break;
        CHECK(page.text[page.text_bytes] == 0 && page.title[page.title_bytes] == 0);
        CHECK(bl_utf8_check(page.text, page.text_bytes) < 0 && bl_utf8_check(page.title, page.title_bytes) < 0);
        const char *prose;
        int64_t prose_bytes;
        CHECK(bl_wikitext_convert(w, page.text, page.text_bytes, &prose, &prose_bytes) == BL_OK);
        CHECK(bl_utf8_check(prose, prose_bytes) < 0);
        (void) bl_wikitext_is_disambiguation(w, page.title, page.text, page.text_bytes);
        (void) bl_wikitext_is_redirect(w, page.text, page.text_bytes);
        CHECK(bl_dump_position(dump) >= 0 && bl_dump_position(dump) <= (int64_t) bytes);
    }
    bl_wikitext_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    bl_fuzz_input in = {data, bytes};
    uint64_t which = take(&in, 1);
    int64_t begin = (int64_t) take(&in, 2), end = (int64_t) take(&in, 2);
    const char *path = as_file(in.data, in.bytes);
    if (which & 1) {
        int64_t *offsets = NULL, count = 0;
        bl_status status = bl_dump_index_read(path, &offsets, &count);
        if (status != BL_OK) {
            CHECK_REFUSED(status);
            return 0;
        }
        for (int64_t i = 0; i < count; i++)
            CHECK(offsets[i] >= 0 && (i == 0 || offsets[i] > offsets[i - 1]));
        bl_dump_offsets_free(offsets);
        return 0;
    }
    if (!(which & 2)) begin = end = 0;
    bl_dump *dump = NULL;
    bl_status status = bl_dump_open(&dump, path, begin, end);
    if (status != BL_OK) {
        CHECK_REFUSED(status);
        return 0;
    }
    read_pages(dump, in.bytes);
    bl_dump_close(dump);
    return 0;
}
