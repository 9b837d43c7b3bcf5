/*
 * unpack.c - compressed files as a row of bytes. What a file is compressed with
 * says its magic number, never its name. Several members or streams behind each
 * other are read as one text, as gzip and bzip2 do; whatever else follows, and
 * an end before the end, are errors: half a text must not pass for a whole one.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "corpus/unpack.h"
#include "storage/file.h"

extern char **environ;

enum { WINDOW_BYTES = 256 << 10, MAGIC_BYTES = 6, FIRST_FREE_DESCRIPTOR = 3 };

/* What a file is, by its first bytes. */
typedef struct magic {
    const char *bytes;
    size_t size;
    bl_packing packing;
    const char *refusal; /* what to do instead; NULL: it is read */
} magic;

static const magic MAGICS[] = {
    {"\x1f\x8b", 2, BL_PACKING_GZIP, NULL},
    {"BZh", 3, BL_PACKING_BZIP2, NULL},
    {"\xfd"
     "7zXZ",
     5, BL_PACKING_XZ, NULL},
    {"\x28\xb5\x2f\xfd", 4, BL_PACKING_ZSTD, NULL},
    {"PK\3\4", 4, BL_PACKING_NONE, "a .zip archive (or .docx, .epub): unpack it, and name the text files"},
    {"7z\xbc\xaf", 4, BL_PACKING_NONE, "a .7z archive: unpack it (7z x), and name the text files"},
    {"\x04\x22\x4d\x18", 4, BL_PACKING_NONE, "compressed with lz4: unpack it (lz4 -d), or use .gz, .bz2, .xz or .zst"},
    {"\x1f\x9d", 2, BL_PACKING_NONE, "compressed with compress (.Z): unpack it (uncompress)"},
    {"PAR1", 4, BL_PACKING_NONE, "a Parquet file: write its texts as JSON lines or plain text"},
    {"ARROW1", 6, BL_PACKING_NONE, "an Arrow file: write its texts as JSON lines or plain text"},
    {"%PDF-", 5, BL_PACKING_NONE, "a PDF file: write its text as plain text (pdftotext)"},
    {"{\\rtf", 5, BL_PACKING_NONE, "an RTF file: save it as plain text"},
};

const char *bl_packing_name(bl_packing packing) {
    static const char *const NAMES[] = {"", "gzip", "bzip2", "xz", "zstd"};
    return NAMES[packing];
}

/* More of the file into the window, behind what is there. */
static bl_status fill(bl_unpack *u) {
    if (u->at > 0) {
        memmove(u->window, u->window + u->at, u->have - u->at);
        u->have -= u->at;
        u->at = 0;
    }
    while (!u->ended && u->have < WINDOW_BYTES) {
        ssize_t n = read(u->descriptor, u->window + u->have, WINDOW_BYTES - u->have);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EISDIR) return bl_fail(BL_ERROR_IO, "%s: it is a folder, expected a text file", u->path);
        if (n < 0) return bl_file_fail(u->path, "read", errno);
        u->ended = n == 0;
        u->have += (size_t) n;
        u->taken += n;
        break;
    }
    return BL_OK;
}

/* Not more than a line: somebody may be typing. */
static bl_status fill_magic(bl_unpack *u) {
    while (!u->ended && u->have < MAGIC_BYTES && !memchr(u->window, '\n', u->have))
        BL_TRY(fill(u));
    return BL_OK;
}

static bl_status damaged(const bl_unpack *u, const char *what) {
    return bl_fail(BL_ERROR_FORMAT, "%s: its %s data are %s: copy the file again, or make it anew", u->path,
                   bl_packing_name(u->packing), what);
}

/* What the program gets: the file from its start, a pipe, nothing else of ours. */
static int set_files(posix_spawn_file_actions_t *actions, int input, int output) {
    int error = posix_spawn_file_actions_adddup2(actions, input, 0);
    if (error == 0) error = posix_spawn_file_actions_adddup2(actions, output, 1);
    if (error == 0) error = posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
    if (error == 0) error = posix_spawn_file_actions_addclosefrom_np(actions, FIRST_FREE_DESCRIPTOR);
    return error;
}

static int spawn(bl_unpack *u, char *const *arguments, int output) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, plain;
    int error = posix_spawnattr_init(&attributes);
    if (error != 0) return error;
    sigemptyset(&none);
    sigemptyset(&plain);
    sigaddset(&plain, SIGPIPE);
    error = posix_spawnattr_setsigmask(&attributes, &none);
    if (error == 0) error = posix_spawnattr_setsigdefault(&attributes, &plain);
    if (error == 0) error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (error == 0) error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        error = set_files(&actions, u->descriptor, output);
        if (error == 0) error = posix_spawnp(&u->child, arguments[0], &actions, &attributes, arguments, environ);
        if (error != 0) u->child = -1;
        posix_spawn_file_actions_destroy(&actions);
    }
    posix_spawnattr_destroy(&attributes);
    return error;
}

static bl_status start_program(bl_unpack *u) {
    /* --long: windows of up to 2 GB, which zstd reads only on request. */
    static const char *const XZ[] = {"xz", "-dcq", NULL}, *const ZSTD[] = {"zstd", "-dcq", "--long=31", NULL};
    const char *const *arguments = u->packing == BL_PACKING_XZ ? XZ : ZSTD;
    if (lseek(u->descriptor, 0, SEEK_SET) != 0) {
        return bl_fail(BL_ERROR_FORMAT, "%s: compressed with %s, which is read from a file only: use %s -dc FILE | ...",
                       u->path, arguments[0], arguments[0]);
    }
    int both[2];
    if (pipe2(both, O_CLOEXEC) != 0) return bl_file_fail(u->path, "make a pipe to read", errno);
    u->pipe = both[0];
    /* Above 2, so that it is not overwritten before it is copied. */
    int output = fcntl(both[1], F_DUPFD_CLOEXEC, FIRST_FREE_DESCRIPTOR);
    int error = output < 0 ? errno : 0;
    close(both[1]);
    if (error == 0) {
        error = spawn(u, (char *const *) arguments, output);
        close(output);
    }
    if (error == ENOENT) {
        return bl_fail(BL_ERROR_IO, "%s: compressed with %s, but there is no program %s: apt-get install %s", u->path,
                       arguments[0], arguments[0], u->packing == BL_PACKING_XZ ? "xz-utils" : "zstd");
    }
    return error == 0 ? BL_OK : bl_file_fail(u->path, "start a program to decompress", error);
}

static bl_status start(bl_unpack *u) {
    switch (u->packing) {
    case BL_PACKING_GZIP:
        if (inflateInit2(&u->gzip, 15 + 16) != Z_OK) return bl_fail(BL_ERROR_MEMORY, "%s: no memory for zlib", u->path);
        u->member = true;
        return BL_OK;
    case BL_PACKING_BZIP2:
        if (BZ2_bzDecompressInit(&u->bzip2, 0, 0) != BZ_OK)
            return bl_fail(BL_ERROR_MEMORY, "%s: no memory for bzip2", u->path);
        u->member = true;
        return BL_OK;
    case BL_PACKING_XZ:
    case BL_PACKING_ZSTD:
        return start_program(u);
    default:
        return BL_OK;
    }
}

bl_status bl_unpack_open(bl_unpack *u, const char *path) {
    bool standard = strcmp(path, "-") == 0;
    *u = (bl_unpack){.path = standard ? "standard input" : path, .descriptor = -1, .pipe = -1, .child = -1};
    u->window = malloc(WINDOW_BYTES);
    if (!u->window) return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a read buffer", u->path);
    u->descriptor = standard ? fcntl(0, F_DUPFD_CLOEXEC, FIRST_FREE_DESCRIPTOR) : open(path, O_RDONLY | O_CLOEXEC);
    if (u->descriptor < 0) return bl_file_fail(u->path, "open", errno);
    struct stat info;
    if (fstat(u->descriptor, &info) != 0) return bl_file_fail(u->path, "open", errno);
    u->regular = S_ISREG(info.st_mode) && !standard;
    u->file_bytes = u->regular ? info.st_size : 0;
    BL_TRY(fill_magic(u));
    for (size_t i = 0; i < sizeof MAGICS / sizeof *MAGICS; i++) {
        const magic *m = &MAGICS[i];
        if (u->have < m->size || memcmp(u->window, m->bytes, m->size) != 0) continue;
        /* A text may begin with these letters; what bzip2 writes has a digit and a block behind them. */
        if (m->packing == BL_PACKING_BZIP2 && (u->have < MAGIC_BYTES || (memcmp(u->window + 4, "1A", 2) != 0 &&
                                                                         memcmp(u->window + 4, "\x17\x72", 2) != 0)))
            continue;
        if (m->refusal) return bl_fail(BL_ERROR_FORMAT, "%s: %s", u->path, m->refusal);
        u->packing = m->packing;
        break;
    }
    return start(u);
}

/* Behind a member: another one, or the end of the file. Zeros are padding. */
static bl_status next_member(bl_unpack *u) {
    u->member = false;
    for (;;) {
        while (u->at < u->have && u->window[u->at] == 0)
            u->at++;
        if (u->have - u->at >= MAGIC_BYTES || (u->ended && u->at < u->have)) break;
        if (u->ended) return BL_OK;
        BL_TRY(fill(u));
    }
    const char *sign = u->packing == BL_PACKING_GZIP ? "\x1f\x8b" : "BZh";
    size_t size = strlen(sign);
    if (u->have - u->at < size || memcmp(u->window + u->at, sign, size) != 0)
        return damaged(u, "followed by something else");
    u->member = true;
    if (u->packing == BL_PACKING_GZIP)
        return inflateReset(&u->gzip) == Z_OK ? BL_OK : bl_fail(BL_ERROR_MEMORY, "%s: no memory for zlib", u->path);
    BZ2_bzDecompressEnd(&u->bzip2);
    memset(&u->bzip2, 0, sizeof u->bzip2);
    return start(u);
}

/* One step of the decoder: whether a member ended; *broken if its data are damaged. */
static bool step(bl_unpack *u, unsigned char *out, size_t room, size_t *got, bool *broken) {
    unsigned char *from = u->window + u->at;
    size_t have = u->have - u->at;
    int result;
    if (u->packing == BL_PACKING_GZIP) {
        u->gzip.next_in = from;
        u->gzip.avail_in = (unsigned) have;
        u->gzip.next_out = out;
        u->gzip.avail_out = (unsigned) room;
        result = inflate(&u->gzip, Z_NO_FLUSH);
        u->at += have - u->gzip.avail_in;
        *got = room - u->gzip.avail_out;
        *broken = result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR;
        return result == Z_STREAM_END;
    }
    u->bzip2.next_in = (char *) from;
    u->bzip2.avail_in = (unsigned) have;
    u->bzip2.next_out = (char *) out;
    u->bzip2.avail_out = (unsigned) room;
    result = BZ2_bzDecompress(&u->bzip2);
    u->at += have - u->bzip2.avail_in;
    *got = room - u->bzip2.avail_out;
    *broken = result != BZ_OK && result != BZ_STREAM_END;
    return result == BZ_STREAM_END;
}

static bl_status read_members(bl_unpack *u, void *out, size_t room, size_t *got) {
    while (u->member) {
        if (u->at == u->have && !u->ended) BL_TRY(fill(u));
        size_t before = u->at;
        bool broken, end = step(u, out, room, got, &broken);
        if (broken) return damaged(u, "damaged");
        if (end) {
            BL_TRY(next_member(u));
        } else if (*got == 0 && u->ended && u->at == before) {
            return damaged(u, "incomplete");
        }
        if (*got > 0) return BL_OK;
    }
    return BL_OK;
}

static bl_status read_program(bl_unpack *u, void *out, size_t room, size_t *got) {
    ssize_t n;
    do
        n = read(u->pipe, out, room);
    while (n < 0 && errno == EINTR);
    if (n < 0) return bl_file_fail(u->path, "read what was decompressed", errno);
    *got = (size_t) n;
    if (n > 0 || u->child < 0) return BL_OK;
    int status = 0;
    pid_t ended;
    do
        ended = waitpid(u->child, &status, 0);
    while (ended < 0 && errno == EINTR);
    u->child = -1;
    if (ended < 0) return bl_file_fail(u->path, "wait for the program that decompresses", errno);
    if (WIFSIGNALED(status)) {
        return bl_fail(BL_ERROR_IO, "%s: %s, which decompresses it, was killed by signal %d", u->path,
                       bl_packing_name(u->packing), WTERMSIG(status));
    }
    return WEXITSTATUS(status) == 0 ? BL_OK : damaged(u, "damaged or incomplete");
}

bl_status bl_unpack_read(bl_unpack *u, void *out, size_t room, size_t *got) {
    *got = 0;
    if (u->packing == BL_PACKING_XZ || u->packing == BL_PACKING_ZSTD) return read_program(u, out, room, got);
    if (u->packing != BL_PACKING_NONE) return read_members(u, out, room, got);
    if (u->at == u->have) BL_TRY(fill(u));
    *got = u->have - u->at < room ? u->have - u->at : room;
    memcpy(out, u->window + u->at, *got);
    u->at += *got;
    return BL_OK;
}

int64_t bl_unpack_position(const bl_unpack *u) {
    if (u->pipe >= 0) {
        /* The program reads through a copy of the descriptor, so they share the place in the file. */
        off_t at = lseek(u->descriptor, 0, SEEK_CUR);
        return at > 0 ? at : 0;
    }
    return u->taken - (int64_t) (u->have - u->at);
}

void bl_unpack_close(bl_unpack *u) {
    if (u->packing == BL_PACKING_GZIP) inflateEnd(&u->gzip);
    if (u->packing == BL_PACKING_BZIP2) BZ2_bzDecompressEnd(&u->bzip2);
    if (u->pipe >= 0) close(u->pipe);
    if (u->child > 0) {
        kill(u->child, SIGKILL);
        while (waitpid(u->child, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (u->descriptor >= 0) close(u->descriptor);
    free(u->window);
    *u = (bl_unpack){.descriptor = -1, .pipe = -1, .child = -1};
}
