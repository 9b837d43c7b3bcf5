/*
 * text_stream.c - a text in any encoding as pieces of checked UTF-8. Nothing is
 * dropped in silence: what is not text in the encoding is an error that names
 * its byte, or is replaced and counted if the user asked for that.
 */
#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/bytes.h"
#include "corpus/unpack.h"
#include "storage/file.h"

enum { READ_BYTES = 1 << 20, MAX_ENCODING = 32, MARK_BYTES = 4, TAR_SIGN = 257 };

enum { ENDS_UNKNOWN, ENDS_LINE_FEED, ENDS_RETURN };

#define REPLACEMENT "\xef\xbf\xbd"

struct bl_text_stream {
    bl_unpack unpack;
    char *path;
    char encoding[MAX_ENCODING + 1];
    bool replace;
    bool begun;        /* the mark was looked for */
    bool ended;        /* all is in raw */
    bool after_cr;     /* the last byte given was a CR that became LF */
    iconv_t converter; /* (iconv_t) -1 for UTF-8 */
    int unit;          /* bytes to pass over where the converter finds no character */
    bl_bytes raw;      /* bytes that are not decoded yet */
    int64_t raw_at;    /* where they begin, after decompression */
    bl_bytes text;
    int32_t mark_bytes, line_ends;
    int64_t replaced;
};

typedef struct byte_order_mark {
    const char *bytes;
    size_t size;
    const char *encoding;
} byte_order_mark;

/* The longer ones first: that of UTF-16LE begins that of UTF-32LE. */
static const byte_order_mark MARKS[] = {
    {"\xff\xfe\0\0", 4, "UTF-32LE"}, {"\0\0\xfe\xff", 4, "UTF-32BE"}, {"\xef\xbb\xbf", 3, "UTF-8"},
    {"\xff\xfe", 2, "UTF-16LE"},     {"\xfe\xff", 2, "UTF-16BE"},
};

static bool is_utf8(const char *encoding) {
    return strcasecmp(encoding, "UTF-8") == 0 || strcasecmp(encoding, "UTF8") == 0;
}

BL_API bl_status bl_text_encoding_check(const char *encoding) {
    if (!encoding) return bl_fail(BL_ERROR_ARGUMENT, "text_encoding_check: encoding is NULL");
    /* To iconv "" means the locale, and what follows a slash are orders. */
    size_t length = strlen(encoding);
    iconv_t converter = (iconv_t) -1;
    if (length > 0 && length <= MAX_ENCODING && !strchr(encoding, '/')) converter = iconv_open("UTF-8", encoding);
    if (converter == (iconv_t) -1) {
        return bl_fail(BL_ERROR_FORMAT,
                       "encoding %.40s is not known: iconv -l lists the names, such as ISO-8859-1, "
                       "windows-1252, UTF-16LE, Shift_JIS, GB18030",
                       encoding);
    }
    iconv_close(converter);
    return BL_OK;
}

static bl_status no_memory(const bl_text_stream *s) {
    return bl_fail(BL_ERROR_MEMORY, "%s: no memory to read it", s->unpack.path);
}

BL_API bl_status bl_text_stream_open(bl_text_stream **out, const char *path, const char *encoding, bool replace) {
    if (!out || !path) return bl_fail(BL_ERROR_ARGUMENT, "text_stream_open: an argument is NULL");
    if (encoding) BL_TRY(bl_text_encoding_check(encoding));
    bl_text_stream *s = calloc(1, sizeof *s);
    if (s) s->path = strdup(path);
    if (!s || !s->path) {
        free(s);
        return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a reader", path);
    }
    s->converter = (iconv_t) -1;
    s->replace = replace;
    s->unit = 1;
    snprintf(s->encoding, sizeof s->encoding, "%s", encoding ? encoding : "UTF-8");
    bl_status status = bl_unpack_open(&s->unpack, s->path);
    if (status != BL_OK) {
        bl_text_stream_close(s);
        return status;
    }
    *out = s;
    return BL_OK;
}

BL_API void bl_text_stream_close(bl_text_stream *s) {
    if (!s) return;
    bl_unpack_close(&s->unpack);
    if (s->converter != (iconv_t) -1) iconv_close(s->converter);
    bl_bytes_free(&s->raw);
    bl_bytes_free(&s->text);
    free(s->path);
    free(s);
}

BL_API void bl_text_stream_describe(const bl_text_stream *s, bl_text_format *out) {
    *out = (bl_text_format){.packing = bl_packing_name(s->unpack.packing),
                            .encoding = s->encoding,
                            .mark_bytes = s->mark_bytes,
                            .line_ends = s->line_ends,
                            .regular = s->unpack.regular,
                            .file_bytes = s->unpack.file_bytes,
                            .position = bl_unpack_position(&s->unpack),
                            .replaced = s->replaced};
}

/* "PATH: byte N" or, compressed, "PATH: byte N of what is compressed in it". */
static bl_status fail_at(const bl_text_stream *s, size_t at, const char *what) {
    return bl_fail(BL_ERROR_FORMAT, "%s: byte %lld%s: %s", s->unpack.path, (long long) s->raw_at + (long long) at,
                   s->unpack.packing == BL_PACKING_NONE ? "" : " of what is compressed in it", what);
}

/* Take more bytes in; raw keeps what is not decoded yet. */
static bl_status more(bl_text_stream *s) {
    size_t got = 0;
    if (!bl_bytes_reserve(&s->raw, READ_BYTES)) return no_memory(s);
    BL_TRY(bl_unpack_read(&s->unpack, s->raw.data + s->raw.size, READ_BYTES, &got));
    s->raw.size += got;
    s->ended = got == 0;
    return BL_OK;
}

static void drop(bl_text_stream *s, size_t bytes) {
    memmove(s->raw.data, s->raw.data + bytes, s->raw.size - bytes);
    s->raw.size -= bytes;
    s->raw_at += (int64_t) bytes;
}

/* Choose the encoding by the first bytes. */
static bl_status begin(bl_text_stream *s) {
    /* Nobody types a mark: a line that begins with a letter does not wait for more. */
    do
        BL_TRY(more(s));
    while (!s->ended && s->raw.size < MARK_BYTES &&
           (s->raw.size == 0 || s->raw.data[s->raw.size - 1] != '\n' || (signed char) s->raw.data[0] <= 0));
    s->begun = true;
    for (size_t i = 0; i < sizeof MARKS / sizeof *MARKS; i++) {
        const byte_order_mark *mark = &MARKS[i];
        if (s->raw.size < mark->size || memcmp(s->raw.data, mark->bytes, mark->size) != 0) continue;
        snprintf(s->encoding, sizeof s->encoding, "%s", mark->encoding);
        s->mark_bytes = (int32_t) mark->size;
        drop(s, mark->size);
        break;
    }
    if (s->raw.size > TAR_SIGN + 5 && memcmp(s->raw.data + TAR_SIGN, "ustar", 5) == 0)
        return bl_fail(BL_ERROR_FORMAT, "%s: a tar archive: unpack it (tar -xf), and name the text files",
                       s->unpack.path);
    if (is_utf8(s->encoding)) return BL_OK;
    if (strncasecmp(s->encoding, "UTF-16", 6) == 0 || strncasecmp(s->encoding, "UCS-2", 5) == 0) s->unit = 2;
    if (strncasecmp(s->encoding, "UTF-32", 6) == 0 || strncasecmp(s->encoding, "UCS-4", 5) == 0) s->unit = 4;
    s->converter = iconv_open("UTF-8", s->encoding);
    if (s->converter == (iconv_t) -1) return bl_text_encoding_check(s->encoding);
    return BL_OK;
}

/* What to say of a byte that is not UTF-8, or of a NUL, at raw[at]. */
static bl_status not_utf8(const bl_text_stream *s, size_t at) {
    /* Text of two bytes a character: in most languages one of the two is the same nearly everywhere, and NUL in many.
     */
    size_t zeros[2] = {0, 0}, seen = s->raw.size < 4096 ? s->raw.size : 4096;
    for (size_t i = 0; i < seen; i++)
        zeros[((size_t) s->raw_at + i) & 1] += s->raw.data[i] == 0;
    if (seen >= 4 && (zeros[0] > seen / 8) != (zeros[1] > seen / 8)) {
        const char *encoding = zeros[0] > zeros[1] ? "UTF-16BE" : "UTF-16LE";
        return bl_fail(BL_ERROR_FORMAT,
                       "%s: byte %lld: not UTF-8: it looks like %s without a byte order mark; convert the file (iconv "
                       "-f %s -t UTF-8)",
                       s->unpack.path, (long long) s->raw_at + (long long) at, encoding, encoding);
    }
    unsigned char byte = (unsigned char) s->raw.data[at];
    if (byte == 0) return fail_at(s, at, "a NUL byte: is this text?");
    char what[80];
    snprintf(what, sizeof what, "invalid UTF-8 (0x%02x); convert the file (iconv -t UTF-8)", byte);
    return fail_at(s, at, what);
}

/* All whole characters of raw to text. */
static bl_status take_utf8(bl_text_stream *s) {
    size_t at = 0;
    while (at < s->raw.size) {
        const char *from = s->raw.data + at;
        size_t left = s->raw.size - at;
        int64_t bad = bl_utf8_check(from, (int64_t) left);
        size_t good = bad < 0 ? left : (size_t) bad;
        const char *zero = memchr(from, 0, good);
        if (zero) return not_utf8(s, at + (size_t) (zero - from));
        bl_bytes_append(&s->text, from, good);
        at += good;
        if (bad < 0) break;
        /* A character may go on in what comes next. */
        if (!s->ended && s->raw.size - at < 4) break;
        if (!s->replace) return not_utf8(s, at);
        bl_bytes_text(&s->text, REPLACEMENT);
        s->replaced++;
        at++;
    }
    drop(s, at);
    return BL_OK;
}

/* raw[at] is no character of the encoding, or the text ends inside one. */
static bl_status not_encoded(bl_text_stream *s, size_t *at) {
    size_t left = s->raw.size - *at, unit = left < (size_t) s->unit ? left : (size_t) s->unit;
    if (!s->replace) {
        char what[160];
        snprintf(what, sizeof what, "not %s (0x%02x); name another --encoding, or continue with --invalid-utf8 replace",
                 s->encoding, (unsigned char) s->raw.data[*at]);
        return fail_at(s, *at, what);
    }
    bl_bytes_text(&s->text, REPLACEMENT);
    s->replaced += (int64_t) unit;
    *at += unit;
    return BL_OK;
}

static bl_status take_converted(bl_text_stream *s) {
    size_t at = 0;
    for (;;) {
        if (!bl_bytes_reserve(&s->text, 4 * (s->raw.size - at) + 16)) return no_memory(s);
        char *from = s->raw.data + at, *to = s->text.data + s->text.size;
        size_t left = s->raw.size - at, room = s->text.capacity - s->text.size, result;
        bool flush = left == 0;
        /* At the end: what an encoding with states has kept back. */
        if (flush && !s->ended) break;
        result = iconv(s->converter, flush ? NULL : &from, flush ? NULL : &left, &to, &room);
        int error = errno;
        s->text.size = s->text.capacity - room;
        at = s->raw.size - left;
        if (flush) break;
        if (result != (size_t) -1 || error == E2BIG) continue;
        if (error == EINVAL && !s->ended) break;
        BL_TRY(not_encoded(s, &at));
    }
    if (s->text.size > 0 && memchr(s->text.data, 0, s->text.size)) {
        return bl_fail(BL_ERROR_FORMAT, "%s: holds NUL characters when it is read as %s: is that its encoding?",
                       s->unpack.path, s->encoding);
    }
    drop(s, at);
    return BL_OK;
}

/* Lines that end in CR alone, as old Macs wrote them, end in LF from here on. */
static void unify_line_ends(bl_text_stream *s) {
    char *text = s->text.data;
    size_t size = s->text.size, kept = 0;
    if (size == 0) return;
    if (s->line_ends == ENDS_UNKNOWN) {
        const char *cr = memchr(text, '\r', size);
        if (memchr(text, '\n', size)) {
            s->line_ends = ENDS_LINE_FEED;
        } else if (cr && (cr + 1 < text + size || s->ended)) {
            s->line_ends = ENDS_RETURN;
        }
    }
    if (s->line_ends != ENDS_RETURN) return;
    for (size_t i = 0; i < size; i++) {
        bool second = text[i] == '\n' && s->after_cr;
        s->after_cr = text[i] == '\r';
        if (!second) text[kept++] = s->after_cr ? '\n' : text[i];
    }
    s->text.size = kept;
}

BL_API bl_status bl_text_stream_read(bl_text_stream *s, const char **text, int64_t *bytes) {
    if (!s || !text || !bytes) return bl_fail(BL_ERROR_ARGUMENT, "text_stream_read: an argument is NULL");
    s->text.size = 0;
    if (!s->begun) {
        BL_TRY(begin(s));
        BL_TRY(s->converter == (iconv_t) -1 ? take_utf8(s) : take_converted(s));
    }
    while (s->text.size == 0 && !s->ended) {
        BL_TRY(more(s));
        BL_TRY(s->converter == (iconv_t) -1 ? take_utf8(s) : take_converted(s));
    }
    if (s->text.failed) return no_memory(s);
    unify_line_ends(s);
    *text = s->text.data;
    *bytes = (int64_t) s->text.size;
    return BL_OK;
}
