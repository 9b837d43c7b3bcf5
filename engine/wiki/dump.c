/*
 * dump.c - pages of a MediaWiki XML dump, from a range of a plain or bzip2
 * file: which bytes make a page. What is inside a page: page.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/file.h"
#include "wiki/bzip2.h"
#include "wiki/page.h"

enum {
    READ_BYTES = 1 << 20,
    /* MediaWiki's own limit on a page is 2 MB of text; a dump of all revisions has larger ones. */
    MAX_PAGE_BYTES = 64 << 20,
    MAX_HEADER_BYTES = 1 << 20
};

/* Where decoded bytes come from, for messages. */
typedef struct block_mark {
    int64_t decoded;    /* offset of its first byte in the decoded text of this range */
    int64_t compressed; /* byte of the file at which the block begins */
} block_mark;

struct bl_dump {
    char *path;
    int descriptor;
    int64_t file_bytes;
    int64_t begin, end; /* of the range */
    bool compressed;
    bool ended;    /* all of the file was read */
    bool finished; /* no page is left */
    bl_bzip2 bzip2;
    int64_t read_at; /* of a plain file */
    int64_t limit;   /* decoded offset at which the range ends; INT64_MAX until it is known */
    bl_bytes data;   /* decoded bytes from `data_at` on */
    int64_t data_at;
    size_t cursor; /* in data */
    block_mark *marks;
    int64_t mark_count, mark_capacity;
    bl_page_text page; /* decoded title and text */
    bl_bytes namespaces;
    char language[24];
};

/* "PATH: byte N: ..." or, compressed, "PATH: byte M of what the bzip2 block at byte N holds: ...". */
static bl_status dump_fail(const bl_dump *dump, size_t at, const char *what) {
    int64_t offset = dump->data_at + (int64_t) at;
    if (!dump->compressed) return bl_fail(BL_ERROR_FORMAT, "%s: byte %lld: %s", dump->path, (long long) offset, what);
    block_mark mark = {0, 0};
    for (int64_t i = 0; i < dump->mark_count && dump->marks[i].decoded <= offset; i++)
        mark = dump->marks[i];
    return bl_fail(BL_ERROR_FORMAT, "%s: byte %lld of what the bzip2 block at byte %lld holds: %s", dump->path,
                   (long long) (offset - mark.decoded), (long long) mark.compressed, what);
}

static bl_status remember_block(bl_dump *dump, int64_t compressed) {
    /* Blocks before the cursor's one are never named again. */
    int64_t first = 0;
    while (first + 1 < dump->mark_count && dump->marks[first + 1].decoded <= dump->data_at)
        first++;
    if (first > 0) {
        dump->mark_count -= first;
        memmove(dump->marks, dump->marks + first, (size_t) dump->mark_count * sizeof *dump->marks);
    }
    if (dump->mark_count == dump->mark_capacity) {
        int64_t capacity = dump->mark_capacity ? dump->mark_capacity * 2 : 16;
        block_mark *marks = realloc(dump->marks, (size_t) capacity * sizeof *marks);
        if (!marks) return bl_fail(BL_ERROR_MEMORY, "%s: no memory for block offsets", dump->path);
        dump->marks = marks;
        dump->mark_capacity = capacity;
    }
    dump->marks[dump->mark_count++] = (block_mark){dump->data_at + (int64_t) dump->data.size, compressed};
    return BL_OK;
}

static bl_status more_compressed(bl_dump *dump) {
    int64_t bit;
    BL_TRY(bl_bzip2_next(&dump->bzip2, &bit));
    if (bit < 0) {
        dump->ended = true;
        return BL_OK;
    }
    if (bit >= 8 * dump->end && dump->limit == INT64_MAX) dump->limit = dump->data_at + (int64_t) dump->data.size;
    BL_TRY(remember_block(dump, bit / 8));
    return bl_bzip2_read(&dump->bzip2, &dump->data);
}

static bl_status more_plain(bl_dump *dump) {
    if (!bl_bytes_reserve(&dump->data, READ_BYTES))
        return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a read buffer", dump->path);
    for (;;) {
        ssize_t n = pread(dump->descriptor, dump->data.data + dump->data.size, READ_BYTES, dump->read_at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return bl_file_fail(dump->path, "read", errno);
        dump->ended = n == 0;
        dump->data.size += (size_t) n;
        dump->read_at += n;
        return BL_OK;
    }
}

/* Read on; what lies before the cursor is dropped first. */
static bl_status more(bl_dump *dump) {
    if (dump->cursor > 0) {
        dump->data.size -= dump->cursor;
        memmove(dump->data.data, dump->data.data + dump->cursor, dump->data.size);
        dump->data_at += (int64_t) dump->cursor;
        dump->cursor = 0;
    }
    return dump->compressed ? more_compressed(dump) : more_plain(dump);
}

/* Position in data of `word` at or after `from`; data.size if it is not there. */
static size_t find(const bl_dump *dump, size_t from, const char *word) {
    if (from >= dump->data.size) return dump->data.size;
    const char *hit = memmem(dump->data.data + from, dump->data.size - from, word, strlen(word));
    return hit ? (size_t) (hit - dump->data.data) : dump->data.size;
}

/* Read on until `word` is found at or after the cursor: its distance from the cursor, or -1 at the end or too far. */
static bl_status find_reading(bl_dump *dump, const char *word, size_t limit, int64_t *distance) {
    size_t seen = 0;
    for (;;) {
        size_t hit = find(dump, dump->cursor + seen, word);
        if (hit < dump->data.size) {
            *distance = (int64_t) (hit - dump->cursor);
            return BL_OK;
        }
        size_t have = dump->data.size - dump->cursor;
        if (dump->ended || have > limit) {
            *distance = -1;
            return BL_OK;
        }
        size_t overlap = strlen(word) - 1;
        seen = have > overlap ? have - overlap : 0;
        BL_TRY(more(dump));
    }
}

/* xml:lang among the attributes of the root element. */
static void read_language(bl_dump *dump, const char *p, size_t length) {
    static const char name[] = "xml:lang=";
    const char *end = p + length;
    const char *value = memmem(p, length, name, sizeof name - 1);
    if (!value || end - value < (ptrdiff_t) sizeof name + 1) return;
    value += sizeof name - 1;
    const char *stop = memchr(value + 1, *value, (size_t) (end - value - 1));
    if (!stop || (size_t) (stop - value) > sizeof dump->language) return;
    memcpy(dump->language, value + 1, (size_t) (stop - value - 1));
}

/* Whether `word` stands `distance` behind the cursor; reads on where the data end within it. */
static bl_status stands_at(bl_dump *dump, size_t distance, const char *word, bool *same) {
    size_t wanted = distance + strlen(word);
    while (!dump->ended && dump->data.size - dump->cursor < wanted)
        BL_TRY(more(dump));
    *same = dump->data.size - dump->cursor >= wanted &&
            memcmp(dump->data.data + dump->cursor + distance, word, strlen(word)) == 0;
    return BL_OK;
}

/* The start of a whole dump up to its first page: root element and namespaces. */
static bl_status read_header(bl_dump *dump) {
    int64_t distance;
    BL_TRY(find_reading(dump, "<mediawiki", MAX_HEADER_BYTES, &distance));
    if (distance < 0 || distance > 4096)
        return dump_fail(dump, 0, "no <mediawiki> element: this is not a MediaWiki dump");
    dump->cursor += (size_t) distance;
    BL_TRY(find_reading(dump, ">", MAX_HEADER_BYTES, &distance));
    if (distance < 0) return dump_fail(dump, dump->cursor, "the <mediawiki> tag has no end");
    read_language(dump, dump->data.data + dump->cursor, (size_t) distance);
    dump->cursor += (size_t) distance + 1;
    BL_TRY(find_reading(dump, "<", MAX_HEADER_BYTES, &distance));
    bool described = false;
    if (distance >= 0) BL_TRY(stands_at(dump, (size_t) distance, "<siteinfo", &described));
    if (!described) return BL_OK;
    BL_TRY(find_reading(dump, "</siteinfo>", MAX_HEADER_BYTES, &distance));
    if (distance < 0) return dump_fail(dump, dump->cursor, "<siteinfo> has no end");
    const char *p = dump->data.data + dump->cursor;
    bl_status status = bl_page_namespaces(p, p + distance, &dump->namespaces);
    dump->cursor += (size_t) distance + strlen("</siteinfo>");
    return status == BL_OK ? BL_OK : bl_fail(status, "%s: no memory for the namespaces", dump->path);
}

static bl_status open_file(bl_dump *dump, int64_t begin, int64_t end) {
    dump->descriptor = open(dump->path, O_RDONLY | O_CLOEXEC);
    if (dump->descriptor < 0) return bl_file_fail(dump->path, "open", errno);
    struct stat info;
    if (fstat(dump->descriptor, &info) != 0) return bl_file_fail(dump->path, "open", errno);
    if (!S_ISREG(info.st_mode)) return bl_fail(BL_ERROR_IO, "%s: not a plain file", dump->path);
    dump->file_bytes = info.st_size;
    if (dump->file_bytes == 0) return bl_fail(BL_ERROR_FORMAT, "%s: the file is empty", dump->path);
    dump->begin = begin;
    dump->end = end == 0 ? dump->file_bytes : end;
    if (begin < 0 || begin >= dump->end || dump->end > dump->file_bytes) {
        return bl_fail(BL_ERROR_ARGUMENT, "%s: bytes [%lld, %lld) of a file of %lld were requested", dump->path,
                       (long long) begin, (long long) dump->end, (long long) dump->file_bytes);
    }
    char magic[4] = {0};
    if (pread(dump->descriptor, magic, sizeof magic, 0) < 0) return bl_file_fail(dump->path, "read", errno);
    if (memcmp(magic, "\x1f\x8b", 2) == 0 || memcmp(magic, "7z\xbc\xaf", 4) == 0 ||
        memcmp(magic,
               "\xfd"
               "7zX",
               4) == 0 ||
        memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0)
        return bl_fail(BL_ERROR_FORMAT, "%s: compressed with gzip, xz, zstd or 7z; expected .xml or .xml.bz2",
                       dump->path);
    if (memcmp(magic, "\xff\xfe", 2) == 0 || memcmp(magic, "\xfe\xff", 2) == 0 || memcmp(magic, "<\0", 2) == 0 ||
        memcmp(magic, "\0<", 2) == 0)
        return bl_fail(BL_ERROR_FORMAT, "%s: UTF-16, expected UTF-8: convert it (iconv -f UTF-16 -t UTF-8)",
                       dump->path);
    dump->compressed = memcmp(magic, "BZh", 3) == 0;
    dump->limit = dump->compressed ? INT64_MAX : dump->end;
    dump->read_at = begin;
    if (!dump->compressed) {
        dump->data_at = begin;
    } else {
        BL_TRY(bl_bzip2_open(&dump->bzip2, dump->path, dump->descriptor, dump->file_bytes, begin));
    }
    if (begin == 0) return read_header(dump);
    int64_t bit = 0;
    if (dump->compressed) BL_TRY(bl_bzip2_next(&dump->bzip2, &bit));
    /* The range may lie inside a block that began before it. */
    dump->finished = dump->compressed && (bit < 0 || bit >= 8 * dump->end);
    return BL_OK;
}

BL_API bl_status bl_dump_open(bl_dump **out, const char *path, int64_t begin, int64_t end) {
    if (!out || !path) return bl_fail(BL_ERROR_ARGUMENT, "dump_open: an argument is NULL");
    bl_dump *dump = calloc(1, sizeof *dump);
    if (dump) dump->path = strdup(path);
    if (!dump || !dump->path) {
        free(dump);
        return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a reader", path);
    }
    dump->descriptor = -1;
    bl_status status = open_file(dump, begin, end);
    if (status != BL_OK) {
        bl_dump_close(dump);
        return status;
    }
    *out = dump;
    return BL_OK;
}

BL_API void bl_dump_close(bl_dump *dump) {
    if (!dump) return;
    bl_bzip2_close(&dump->bzip2);
    if (dump->descriptor >= 0) close(dump->descriptor);
    bl_bytes_free(&dump->data);
    bl_bytes_free(&dump->namespaces);
    bl_page_free(&dump->page);
    free(dump->marks);
    free(dump->path);
    free(dump);
}

/* Nothing but white space, comments and the end of the root element may stand between pages of a whole dump. */
static bl_status check_gap(bl_dump *dump, size_t length, bool last) {
    const char *p = dump->data.data + dump->cursor, *end = p + length;
    bool closed = false;
    while (p < end) {
        if (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
            p++;
        } else if (last && !closed && end - p >= 12 && memcmp(p, "</mediawiki>", 12) == 0) {
            closed = true;
            p += 12;
        } else {
            return dump_fail(dump, (size_t) (p - dump->data.data),
                             closed ? "there is more after </mediawiki>" : "expected <page> or </mediawiki>");
        }
    }
    if (last && !closed)
        return dump_fail(dump, dump->cursor + length, "the dump ends without </mediawiki>: it is incomplete");
    return BL_OK;
}

BL_API bl_status bl_dump_next(bl_dump *dump, bl_dump_page *page, bool *found) {
    if (!dump || !page || !found) return bl_fail(BL_ERROR_ARGUMENT, "dump_next: an argument is NULL");
    *found = false;
    if (dump->finished) return BL_OK;
    /* A range that begins in the middle starts at the first <page>; later the gap is checked. */
    bool middle = dump->begin > 0 && !dump->page.started;
    int64_t distance;
    BL_TRY(find_reading(dump, "<page>", MAX_PAGE_BYTES, &distance));
    if (distance < 0 && !dump->ended) return dump_fail(dump, dump->cursor, "no <page> within 64 MB");
    size_t gap = distance < 0 ? dump->data.size - dump->cursor : (size_t) distance;
    bool beyond = dump->data_at + (int64_t) (dump->cursor + gap) >= dump->limit;
    if (distance < 0 || beyond) {
        dump->finished = true;
        /* A range followed by another checks what lies between them, the last one with a page the end of the file. */
        return middle ? BL_OK : check_gap(dump, gap, distance < 0);
    }
    if (!middle) BL_TRY(check_gap(dump, gap, false));
    dump->page.started = true;
    dump->cursor += gap;
    BL_TRY(find_reading(dump, "</page>", MAX_PAGE_BYTES, &distance));
    if (distance < 0) {
        return dump_fail(dump, dump->cursor,
                         dump->ended ? "the page that begins here is cut off by the end of the file"
                                     : "the page that begins here is larger than 64 MB; is it a dump of all revisions? "
                                       "Take pages-articles");
    }
    size_t length = (size_t) distance + strlen("</page>");
    const char *wrong = NULL;
    size_t at = 0;
    if (!bl_page_parse(&dump->page, dump->data.data + dump->cursor, length, page, &wrong, &at)) {
        if (!wrong) return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a page of %zu bytes", dump->path, length);
        return dump_fail(dump, dump->cursor + at, wrong);
    }
    dump->cursor += length;
    *found = true;
    return BL_OK;
}

BL_API int64_t bl_dump_position(const bl_dump *dump) {
    if (!dump) return 0;
    if (!dump->compressed) return dump->read_at;
    return dump->bzip2.at < 0 ? dump->file_bytes : dump->bzip2.at / 8;
}

BL_API const char *bl_dump_language(const bl_dump *dump) {
    return dump ? dump->language : "";
}

BL_API const char *bl_dump_namespaces(const bl_dump *dump) {
    return dump && dump->namespaces.data ? dump->namespaces.data : "";
}
