/*
 * storage.h - safetensors files, weights of 8 bits, durable writes, checksums.
 *
 * Part of the public C API (include "bertlua.h"). HDF5 shards are in data.h.
 * Every message starts with the file's path and says what is wrong with it.
 */
#ifndef BERTLUA_API_STORAGE_H
#define BERTLUA_API_STORAGE_H

#include "core.h"

/* CDEF-BEGIN */

/*
 * Reader of a safetensors file. The whole header is checked at open: length
 * (at most 100 MB), JSON grammar, UTF-8, duplicate keys, dtype and shape
 * against the byte range, ranges that cover the data without overlap or hole,
 * and the file's size. Nothing of a broken file is ever handed out.
 */
typedef struct bl_safetensors bl_safetensors;

/* One tensor of an open file; name and dtype stay valid until the file is closed. */
typedef struct bl_safetensors_info {
    const char *name;
    const char *dtype; /* as in the file: "F32", "BF16", "U8", ... */
    int64_t shape[8];
    int32_t ndim;
    int32_t native; /* bl_dtype that holds the values as they are; -1 if there is none */
    uint64_t bytes;
} bl_safetensors_info;

bl_status bl_safetensors_open(bl_safetensors **out, const char *path);
void bl_safetensors_close(bl_safetensors *file);
int64_t bl_safetensors_count(const bl_safetensors *file);
/* Tensors are numbered from 0 in the byte order of their names. */
bl_status bl_safetensors_describe(const bl_safetensors *file, int64_t index, bl_safetensors_info *out);
/* Number of the tensor called name, -1 if the file has none. */
int64_t bl_safetensors_find(const bl_safetensors *file, const char *name);
int64_t bl_safetensors_metadata_count(const bl_safetensors *file);
/* Key and value number index of the __metadata__ map; valid until the file is closed. */
bl_status bl_safetensors_metadata(const bl_safetensors *file, int64_t index, const char **key, const char **value);
/*
 * Read tensor number index into dst (contiguous, the same shape). Float dtypes
 * (F64, F32, F16, BF16) convert into any float dtype, rounding to nearest
 * even; integers and BOOL into any integer dtype that holds the value. Other
 * pairs are BL_ERROR_ARGUMENT. ctx may be NULL for a CPU tensor.
 */
bl_status bl_safetensors_read(bl_context *ctx, const bl_safetensors *file, int64_t index, bl_tensor *dst);

/*
 * Where a tensor lies in a file of another format: `bytes` of storage at
 * `offset`, of which the tensor starts at element `first` and steps by
 * `stride` elements. latin1 says that each byte of the storage is written as
 * the code point of its value in UTF-8 (pickles of protocol 2 do so).
 */
typedef struct bl_file_region {
    const char *name;  /* the tensor's, for messages */
    const char *dtype; /* "F32", "BF16", "I64", ... as in safetensors */
    uint64_t offset;
    uint64_t bytes;
    uint64_t first;
    int64_t shape[8];
    int64_t stride[8]; /* 0 or more */
    int32_t ndim;
    int32_t latin1;
} bl_file_region;

/*
 * Read it into dst (contiguous, the same shape), converting as
 * bl_safetensors_read does. Nothing outside the storage or beyond the end of
 * the file is ever read. Memory besides dst: 2 MiB, and a copy of this one
 * tensor where it is not row-major. ctx may be NULL for a CPU tensor.
 */
bl_status bl_file_read_tensor(bl_context *ctx, const char *path, const bl_file_region *where, bl_tensor *dst);

/*
 * Writer of a safetensors file. add only notes the tensor: its memory must
 * stay as it is until write, which streams all of them to "<path>.tmp-<pid>",
 * syncs, renames to path and syncs the folder. The same tensors and metadata
 * give the same bytes whatever the order of the calls. After a failure the
 * temporary file is gone and an older file at path is untouched.
 */
typedef struct bl_safetensors_writer bl_safetensors_writer;
bl_status bl_safetensors_writer_create(bl_safetensors_writer **out, const char *path);
void bl_safetensors_writer_free(bl_safetensors_writer *writer);
bl_status bl_safetensors_writer_metadata(bl_safetensors_writer *writer, const char *key, const char *value);
/* Contiguous tensor on any device; data may be NULL if the elements come with put. */
bl_status bl_safetensors_writer_add(bl_safetensors_writer *writer, const char *name, const bl_tensor *t);
/* ctx may be NULL when every tensor is on the CPU. */
bl_status bl_safetensors_writer_write(bl_context *ctx, bl_safetensors_writer *writer);
/*
 * The same in steps, for tensors that are not all in memory at once: begin
 * opens the file and settles the order, then the elements of each tensor that
 * was added follow, those of next (NULL: that was the last) first, then finish
 * gives the file its name. What is not finished when the writer is freed is
 * removed.
 */
bl_status bl_safetensors_writer_begin(bl_safetensors_writer *writer);
const char *bl_safetensors_writer_next(const bl_safetensors_writer *writer);
bl_status bl_safetensors_writer_put(bl_context *ctx, bl_safetensors_writer *writer, const bl_tensor *t);
bl_status bl_safetensors_writer_finish(bl_safetensors_writer *writer);

/*
 * Weights of 8 bits, symmetric, with a scale for each row (output channel):
 *     scale[r] = max_c |w[r][c]| / 127, or 1 where that is 0
 *     q[r][c] = w[r][c] / scale[r], rounded to nearest even, in [-127, 127]
 * as "int-quantized" files of compressed-tensors hold them. w f32 [R,C], q i8
 * [R,C], scale f32 [R,1]: contiguous, on the CPU. A NaN or inf in w is
 * BL_ERROR_ARGUMENT. *error (may be NULL) is the root of the squared
 * differences of w and q * scale over that of the squares of w; 0 where w is 0.
 */
bl_status bl_quantize_rows(const bl_tensor *w, bl_tensor *q, bl_tensor *scale, double *error);
/* w[r][c] = q[r][c] * scale[r]; dtypes and shapes as above. */
bl_status bl_dequantize_rows(const bl_tensor *q, const bl_tensor *scale, bl_tensor *w);

/* Replace path by these bytes: temporary file beside it, fsync, rename, folder synced. */
bl_status bl_file_write(const char *path, const void *data, size_t bytes);
/* Flush a file or a folder to the disk. */
bl_status bl_file_sync(const char *path);
/* Cut off what a file has beyond this length, or fill it up with zeros. */
bl_status bl_file_truncate(const char *path, uint64_t bytes);
/* rename(2), then sync the folder of the new name. */
bl_status bl_file_rename(const char *from, const char *to);
/* CRC32C and size of a whole file. */
bl_status bl_file_crc32c(const char *path, uint32_t *crc, uint64_t *bytes);
/* CRC-32 of zip and gzip (ISO 3309) of a part of a file; BL_ERROR_IO if the file ends before. */
bl_status bl_file_crc32(const char *path, uint64_t offset, uint64_t bytes, uint32_t *crc);
/* SHA-256 of a whole file as 64 lower-case hexadecimal digits and a NUL: hex has room for 65. */
bl_status bl_file_sha256(const char *path, char *hex);
/* Hash of a whole file in lower-case hexadecimal: algorithm "md5" or "sha1" (hex has room for 65). */
bl_status bl_file_digest(const char *path, const char *algorithm, char *hex);
/* Bytes that an unprivileged user may still write on the file system of path. */
bl_status bl_file_free_bytes(const char *path, uint64_t *bytes);

/* CRC32C (Castagnoli, RFC 3720) of bytes, continuing from crc (0 to start). */
uint32_t bl_crc32c(uint32_t crc, const void *data, size_t bytes);
/* The masked form that TFRecord and TensorBoard event files store. */
uint32_t bl_crc32c_mask(uint32_t crc);

/* CDEF-END */

#endif
