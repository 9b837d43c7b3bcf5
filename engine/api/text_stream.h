/*
 * text_stream.h - texts as users have them: compressed or not, in any encoding,
 * read piece by piece as checked UTF-8.
 *
 * Part of the public C API (include "bertlua.h"). Every message about a file
 * starts with its path and, where there is one, the byte offset. A stream may
 * be used by one thread at a time.
 */
#ifndef BERTLUA_API_TEXT_STREAM_H
#define BERTLUA_API_TEXT_STREAM_H

#include "core.h"

/* CDEF-BEGIN */

/*
 * A text that is read once from its beginning to its end. What it is
 * compressed with (gzip, bzip2, xz, zstd) and a byte order mark (UTF-8, UTF-16,
 * UTF-32) are found out from its first bytes. xz and zstd files are read
 * through the programs of these names. Memory does not grow with the file.
 */
typedef struct bl_text_stream bl_text_stream;

/* What is known about it; line_ends and replaced concern what has been read so far. */
typedef struct bl_text_format {
    const char *packing;  /* "gzip", "bzip2", "xz", "zstd", or "" */
    const char *encoding; /* "UTF-8", what the mark says, or the name that was given */
    int32_t mark_bytes;   /* of its byte order mark; 0 if it has none */
    int32_t line_ends;    /* 0 as long as no line has ended, 1 LF or CR LF, 2 CR alone (given as LF) */
    int32_t regular;      /* 1 for a plain file, which can be read again */
    int64_t file_bytes;   /* its size; 0 for a pipe */
    int64_t position;     /* bytes of the file taken in */
    int64_t replaced;     /* bytes that were not text and became U+FFFD */
} bl_text_format;

/*
 * Open the file at path; "-" is standard input. encoding: name as iconv -l
 * lists it, or NULL for UTF-8; a byte order mark goes before it. replace: a
 * byte that is not text in that encoding becomes U+FFFD; otherwise it is an error.
 * An encoding that nobody knows, archives and files that are not text by their
 * first bytes (.zip, .pdf, .parquet, ...) are BL_ERROR_FORMAT.
 */
bl_status bl_text_stream_open(bl_text_stream **out, const char *path, const char *encoding, bool replace);
/*
 * The next piece, without the byte order mark; it ends with a whole character
 * and lives until the next call. bytes is 0 at the end. Damaged or incomplete
 * compressed data, bytes that are not text, and NUL are BL_ERROR_FORMAT.
 */
bl_status bl_text_stream_read(bl_text_stream *stream, const char **text, int64_t *bytes);
void bl_text_stream_describe(const bl_text_stream *stream, bl_text_format *out);
void bl_text_stream_close(bl_text_stream *stream);
/* BL_OK if iconv knows the encoding. */
bl_status bl_text_encoding_check(const char *encoding);

/* CDEF-END */

#endif
