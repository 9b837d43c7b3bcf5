/*
 * transfer.c - one download step by step, over libcurl's multi interface.
 * Which mirror, how many attempts and which checksum are up to the caller.
 */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "storage/file.h"

struct bl_transfer {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    char *path;
    int descriptor;
    int64_t resume;
    int write_error; /* errno of a failed write */
    bool refused;    /* the server sends from 0 although `resume` was requested */
    bool checked;    /* the answer's status has been checked */
    char error[CURL_ERROR_SIZE];
    bl_transfer_state state;
};

static void copy_text(char *out, size_t room, const char *text, size_t length) {
    if (length >= room) length = room - 1;
    memcpy(out, text, length);
    out[length] = 0;
}

static size_t take_data(char *data, size_t size, size_t count, void *user) {
    bl_transfer *t = user;
    size_t bytes = size * count;
    if (!t->checked) {
        /* A whole file in answer to a range: appending it would make a mixture. */
        long code = 0;
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &code);
        t->checked = true;
        t->refused = t->resume > 0 && code == 200;
        if (t->refused) return 0;
    }
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(t->descriptor, data + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            t->write_error = n < 0 ? errno : ENOSPC;
            return 0;
        }
        done += (size_t) n;
        t->state.received += n;
    }
    return bytes;
}

static size_t take_header(char *data, size_t size, size_t count, void *user) {
    bl_transfer *t = user;
    size_t bytes = size * count;
    if (bytes > 5 && strncasecmp(data, "etag:", 5) == 0) {
        const char *p = data + 5, *end = data + bytes;
        while (p < end && *p == ' ')
            p++;
        while (p < end && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
            end--;
        copy_text(t->state.etag, sizeof t->state.etag, p, (size_t) (end - p));
    }
    return bytes;
}

/* What URLs may name, and what they may lead to. The names of protocols are taken since libcurl 7.85. */
static bool set_protocols(CURL *easy) {
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https,ftp,file") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") == CURLE_OK;
#else
    const long web = CURLPROTO_HTTP | CURLPROTO_HTTPS;
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS, web | CURLPROTO_FTP | CURLPROTO_FILE) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS, web) == CURLE_OK;
#endif
}

static bl_status set_options(bl_transfer *t, const char *url, const char *etag, int32_t timeout_s) {
    bool good = curl_easy_setopt(t->easy, CURLOPT_URL, url) == CURLE_OK;
    good = good && set_protocols(t->easy);
    curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(t->easy, CURLOPT_MAXREDIRS, 8L);
    curl_easy_setopt(t->easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "bertlua/1.0 (corpus preparation)");
    curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT, (long) timeout_s);
    curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, (long) timeout_s);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, take_data);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    if (t->resume > 0) {
        curl_easy_setopt(t->easy, CURLOPT_RESUME_FROM_LARGE, (curl_off_t) t->resume);
        if (etag && *etag && strlen(etag) < 256) {
            char line[300];
            snprintf(line, sizeof line, "If-Range: %s", etag);
            t->headers = curl_slist_append(NULL, line);
            good = good && t->headers && curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers) == CURLE_OK;
        }
    }
    return good ? BL_OK : bl_fail(BL_ERROR_INTERNAL, "%s: libcurl does not take this URL", url);
}

static bl_status begin(bl_transfer *t, const char *url, const char *etag, int32_t timeout_s) {
    /* An older part is continued, so this is no new file; but never what a link leads to, a pipe or a device. */
    struct stat info;
    if (lstat(t->path, &info) == 0 && !S_ISREG(info.st_mode))
        return bl_fail(BL_ERROR_IO, "%s: is not a plain file: remove it", t->path);
    t->descriptor = open(t->path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (t->descriptor < 0) return bl_file_fail(t->path, "create", errno);
    if (ftruncate(t->descriptor, t->resume) != 0 || lseek(t->descriptor, t->resume, SEEK_SET) < 0)
        return bl_file_fail(t->path, "write", errno);
    t->easy = curl_easy_init();
    t->multi = curl_multi_init();
    if (!t->easy || !t->multi) return bl_fail(BL_ERROR_INTERNAL, "%s: libcurl cannot start", url);
    BL_TRY(set_options(t, url, etag, timeout_s));
    if (curl_multi_add_handle(t->multi, t->easy) != CURLM_OK)
        return bl_fail(BL_ERROR_INTERNAL, "%s: libcurl cannot start", url);
    return BL_OK;
}

BL_API bl_status bl_transfer_start(bl_transfer **out, const char *url, const char *path, int64_t resume,
                                   const char *etag, int32_t timeout_s) {
    if (!out || !url || !path || resume < 0 || timeout_s < 1)
        return bl_fail(BL_ERROR_ARGUMENT, "transfer_start: an argument is NULL, negative or zero");
    /* Once per process; libcurl counts the calls and guards them from 7.84 on. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return bl_fail(BL_ERROR_INTERNAL, "transfer_start: libcurl cannot start");
    bl_transfer *t = calloc(1, sizeof *t);
    if (t) t->path = strdup(path);
    if (!t || !t->path) {
        free(t);
        return bl_fail(BL_ERROR_MEMORY, "%s: no memory for a transfer", path);
    }
    t->descriptor = -1;
    t->resume = resume;
    t->state.received = resume;
    t->state.total = -1;
    bl_status status = begin(t, url, etag, timeout_s);
    if (status != BL_OK) {
        bl_transfer_free(t);
        return status;
    }
    *out = t;
    return BL_OK;
}

static void judge(bl_transfer *t, CURLcode result) {
    bl_transfer_state *s = &t->state;
    s->done = 1;
    if (result == CURLE_OK) return;
    s->failed = 1;
    if (t->write_error) {
        char action[64];
        snprintf(action, sizeof action, "write at byte %lld", (long long) s->received);
        bl_file_fail(t->path, action, t->write_error);
        copy_text(s->message, sizeof s->message, bl_last_error(), strlen(bl_last_error()));
        s->permanent = 1;
        return;
    }
    s->no_resume = t->refused || result == CURLE_RANGE_ERROR || result == CURLE_BAD_DOWNLOAD_RESUME || s->http == 416;
    bool gone = s->http >= 400 && s->http < 500 && s->http != 408 && s->http != 416 && s->http != 425 && s->http != 429;
    s->permanent = gone || result == CURLE_UNSUPPORTED_PROTOCOL || result == CURLE_URL_MALFORMAT ||
                   result == CURLE_FILE_COULDNT_READ_FILE || result == CURLE_REMOTE_FILE_NOT_FOUND;
    const char *text = t->refused    ? "the server cannot resume in the middle of this file"
                       : t->error[0] ? t->error
                                     : curl_easy_strerror(result);
    copy_text(s->message, sizeof s->message, text, strlen(text));
}

BL_API bl_status bl_transfer_step(bl_transfer *t, int32_t wait_ms, bl_transfer_state *state) {
    if (!t || !state) return bl_fail(BL_ERROR_ARGUMENT, "transfer_step: an argument is NULL");
    int running = 0, left = 0;
    CURLMcode code = t->state.done ? CURLM_OK : curl_multi_perform(t->multi, &running);
    if (code == CURLM_OK && running > 0) code = curl_multi_poll(t->multi, NULL, 0, wait_ms, NULL);
    if (code != CURLM_OK) return bl_fail(BL_ERROR_INTERNAL, "%s: libcurl: %s", t->path, curl_multi_strerror(code));
    curl_off_t length = -1;
    long http = 0;
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &http);
    t->state.http = (int32_t) http;
    if (length > 0 && http < 300) t->state.total = (int64_t) length + t->resume;
    for (CURLMsg *message; !t->state.done && (message = curl_multi_info_read(t->multi, &left));) {
        if (message->msg == CURLMSG_DONE) judge(t, message->data.result);
    }
    *state = t->state;
    return BL_OK;
}

BL_API void bl_transfer_free(bl_transfer *t) {
    if (!t) return;
    if (t->multi && t->easy) curl_multi_remove_handle(t->multi, t->easy);
    if (t->easy) curl_easy_cleanup(t->easy);
    if (t->multi) curl_multi_cleanup(t->multi);
    curl_slist_free_all(t->headers);
    if (t->descriptor >= 0) {
        fsync(t->descriptor);
        close(t->descriptor);
    }
    free(t->path);
    free(t);
}
