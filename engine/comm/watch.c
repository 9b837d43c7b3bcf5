/*
 * watch.c - the star of connections around rank 0, and the thread in every
 * process that sends and hears signs of life. See watch.h; the rules that name
 * a rank are in watch_rules.c.
 *
 * One line per job: rank 0 decides which failure was first and tells everyone.
 * If that rank can speak for itself it does; else rank 0 does, or rank 1 where
 * rank 0 is the one that is gone. The others wait for the speaker to end before
 * they do, because a launcher kills all as soon as one has failed.
 */
#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "socket.h"
#include "watch_state.h"

#define SECOND INT64_C(1000000000)

/* How long the others wait for the line to be printed. */
#define LINGER (3 * SECOND)

struct bl_watch {
    _Atomic(bl_comm *) comm;
    int32_t links; /* rank 0: one per rank, its own unused; else 1, to rank 0 */
    bl_peer *peers;
    int listener;
    int wake; /* eventfd: stop */
    uint64_t key;
    pthread_t thread;
    bool running;
    int64_t last_beat;
    int64_t awoke;        /* when it last beat again after longer than the timeout; 0 if it never was so late */
    pthread_mutex_t lock; /* guards sending and what follows */
    pthread_cond_t changed;
    atomic_bool leaving;
    atomic_bool ended; /* a failure was decided on */
    int32_t speaker;   /* the rank that prints it */
};

static bl_watch *watch_new(bl_comm *comm) {
    bl_watch *watch = calloc(1, sizeof *watch);
    if (!watch) return NULL;
    watch->comm = comm;
    watch->links = comm->rank == 0 ? comm->size : 1;
    watch->peers = calloc((size_t) watch->links, sizeof *watch->peers);
    watch->listener = watch->wake = -1;
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    for (int32_t i = 0; watch->peers && i < watch->links; i++)
        watch->peers[i].fd = -1;
    if (watch->peers) return watch;
    bl_watch_close(watch);
    return NULL;
}

void bl_watch_close(bl_watch *watch) {
    if (!watch) return;
    if (watch->running) {
        uint64_t one = 1;
        ssize_t written = write(watch->wake, &one, sizeof one);
        (void) written;
        pthread_join(watch->thread, NULL);
    }
    for (int32_t i = 0; watch->peers && i < watch->links; i++)
        if (watch->peers[i].fd >= 0) close(watch->peers[i].fd);
    if (watch->listener >= 0) close(watch->listener);
    if (watch->wake >= 0) close(watch->wake);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    free(watch->peers);
    free(watch);
}

bl_status bl_watch_listen(bl_watch **out, bl_comm *comm, int32_t port, bl_watch_address *address) {
    bl_watch *watch = watch_new(comm);
    if (!watch) return bl_fail(BL_ERROR_MEMORY, "comm: out of memory");
    int failure = bl_tcp_listen(&port, &watch->listener);
    watch->key = address->key;
    if (!failure && !watch->key && getrandom(&watch->key, sizeof watch->key, 0) != sizeof watch->key) failure = EIO;
    if (failure) {
        bl_watch_close(watch);
        return bl_fail(BL_ERROR_IO, "comm: rank 0 cannot listen on port %d: %s", (int) port, strerror(failure));
    }
    memset(address, 0, sizeof *address);
    bl_tcp_addresses(address->hosts, BL_WATCH_ADDRESSES);
    address->port = port;
    address->key = watch->key;
    *out = watch;
    return BL_OK;
}

static void fill(const bl_watch *watch, bl_message *m, bl_message_type type) {
    bl_comm *comm = watch->comm;
    memset(m, 0, sizeof *m);
    m->key = watch->key;
    m->type = type;
    m->rank = comm->rank;
    pthread_mutex_lock(&comm->lock);
    m->started = comm->started;
    m->finished = comm->finished;
    memcpy(m->name, comm->current, sizeof m->name);
    pthread_mutex_unlock(&comm->lock);
    m->progress = __atomic_load_n(&comm->progress, __ATOMIC_RELAXED);
    m->busy = __atomic_load_n(&comm->busy, __ATOMIC_RELAXED);
}

/* A rank that cannot be written to is detected by its silence or its closed connection. */
static void post(bl_watch *watch, bl_peer *peer, const bl_message *m) {
    if (peer->fd >= 0) (void) bl_tcp_send(peer->fd, m, sizeof *m, bl_now() + SECOND / 2);
    (void) watch;
}

static void post_all(bl_watch *watch, const bl_message *m) {
    pthread_mutex_lock(&watch->lock);
    for (int32_t i = 0; i < watch->links; i++)
        post(watch, &watch->peers[i], m);
    pthread_mutex_unlock(&watch->lock);
}

/* Ranks that are not there, "1, 3". */
static void missing_ranks(const bl_watch *watch, char *text, size_t bytes) {
    size_t used = 0;
    text[0] = '\0';
    for (int32_t i = 1; i < watch->links && used < bytes; i++)
        if (watch->peers[i].fd < 0) used += (size_t) snprintf(text + used, bytes - used, used ? ", %d" : "%d", (int) i);
}

static bl_status welcome_all(bl_watch *watch, const void *payload, int64_t deadline) {
    bl_comm *comm = watch->comm;
    for (int32_t here = 1; here < comm->size;) {
        int fd = -1;
        int failure = bl_tcp_accept(watch->listener, deadline, &fd);
        if (failure) {
            char ranks[160];
            missing_ranks(watch, ranks, sizeof ranks);
            return bl_fail(BL_ERROR_IO,
                           "comm: of %d ranks these did not join within %g s: %s; are all processes running?",
                           (int) comm->size, comm->timeout, ranks);
        }
        bl_message hello;
        failure = bl_tcp_receive(fd, &hello, sizeof hello, bl_now() + 2 * SECOND);
        if (failure || hello.key != watch->key || hello.type != BL_MESSAGE_HELLO) {
            close(fd); /* a stranger */
            continue;
        }
        int32_t rank = hello.rank;
        bool known = rank > 0 && rank < comm->size && watch->peers[rank].fd < 0 && hello.code == comm->size;
        if (!known) {
            close(fd);
            return bl_fail(BL_ERROR_ARGUMENT, "comm: a process says it is rank %d of %d, and this job has %d ranks%s",
                           (int) rank, (int) hello.code, (int) comm->size,
                           hello.code == comm->size ? "; that rank is taken" : "");
        }
        watch->peers[rank].fd = fd;
        here++;
    }
    bl_message m;
    fill(watch, &m, BL_MESSAGE_WELCOME);
    memcpy(m.text, payload, BL_WATCH_PAYLOAD);
    post_all(watch, &m);
    return BL_OK;
}

static int connect_any(const bl_watch_address *address, int64_t deadline, int *fd) {
    int failure = EHOSTUNREACH;
    /* Rank 0 may still be starting: try until the deadline. */
    while (bl_now() < deadline) {
        for (int32_t i = 0; i < BL_WATCH_ADDRESSES && address->hosts[i][0]; i++) {
            int64_t limit = bl_now() + 3 * SECOND;
            failure = bl_tcp_connect(address->hosts[i], address->port, limit < deadline ? limit : deadline, fd);
            if (!failure) return 0;
        }
        usleep(50000);
    }
    return failure;
}

static bl_status meet_rank_0(bl_watch *watch, const bl_watch_address *address, void *payload, int64_t deadline) {
    bl_comm *comm = watch->comm;
    int fd = -1;
    /* One address may be another host's as well: what counts is the answer. */
    int failure = connect_any(address, deadline, &fd);
    if (failure)
        return bl_fail(BL_ERROR_IO, "comm: rank %d cannot reach rank 0 at %s, port %d, within %g s: %s",
                       (int) comm->rank, address->hosts[0], (int) address->port, comm->timeout, strerror(failure));
    watch->peers[0].fd = fd;
    bl_message m;
    fill(watch, &m, BL_MESSAGE_HELLO);
    m.code = comm->size;
    failure = bl_tcp_send(fd, &m, sizeof m, deadline);
    if (!failure) failure = bl_tcp_receive(fd, &m, sizeof m, deadline);
    if (failure || m.type != BL_MESSAGE_WELCOME)
        return bl_fail(BL_ERROR_IO, "comm: rank 0 at %s, port %d, did not admit rank %d: %s", address->hosts[0],
                       (int) address->port, (int) comm->rank,
                       failure == ETIMEDOUT ? "other ranks are missing" : strerror(failure));
    memcpy(payload, m.text, BL_WATCH_PAYLOAD);
    return BL_OK;
}

bl_status bl_watch_meet(bl_watch **out, bl_comm *comm, const bl_watch_address *address, void *payload,
                        int64_t deadline) {
    if (comm->rank == 0) return welcome_all(*out, payload, deadline);
    bl_watch *watch = watch_new(comm);
    if (!watch) return bl_fail(BL_ERROR_MEMORY, "comm: out of memory");
    watch->key = address->key;
    *out = watch;
    return meet_rank_0(watch, address, payload, deadline);
}

/* Decided: true for the first failure. */
static bool end(bl_watch *watch, int32_t speaker) {
    pthread_mutex_lock(&watch->lock);
    bool first = !watch->ended;
    if (first) watch->speaker = speaker;
    watch->ended = true;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    return first;
}

/* Until the other side of fd is closed, or LINGER is over. */
static void await_close(int fd) {
    char dump[sizeof(bl_message)];
    int64_t deadline = bl_now() + LINGER;
    if (fd < 0) return;
    while (bl_tcp_receive(fd, dump, sizeof dump, deadline) == 0) {
    }
}

/* on_failure first: it ends the process before the thread that waits could print a line of its own. */
static void tell_process(bl_watch *watch, int32_t code, const char *line, bool print) {
    if (watch->comm->on_failure) watch->comm->on_failure(code, line, print);
    bl_comm_break(watch->comm, line);
}

/* Rank 0: the job ends. speaker: 0, a rank that prints for itself, or -1 where the line has been printed already. */
static void end_job(bl_watch *watch, int32_t culprit, int32_t speaker, int32_t code, const char *line) {
    if (!end(watch, speaker)) return;
    bl_message m;
    fill(watch, &m, BL_MESSAGE_END);
    m.rank = culprit;
    m.code = code;
    m.speaker = speaker;
    snprintf(m.text, sizeof m.text, "%s", line);
    post_all(watch, &m);
    if (speaker > 0) await_close(watch->peers[speaker].fd);
    tell_process(watch, code, line, speaker == 0);
}

/* Other ranks: rank 0 says the job ends. */
static void obey(bl_watch *watch, const bl_message *m) {
    if (m->speaker == watch->comm->rank) {
        end(watch, m->speaker); /* bl_watch_fail waits for this */
        return;
    }
    if (!end(watch, m->speaker)) return;
    await_close(watch->peers[0].fd);
    tell_process(watch, m->code, m->text, false);
}

/* Other ranks: rank 0 is gone. Rank 1 says so. */
static void lost_rank_0(bl_watch *watch, const char *how) {
    bl_comm *comm = watch->comm;
    if (!end(watch, 1)) return;
    char line[512];
    bl_message m;
    fill(watch, &m, BL_MESSAGE_BEAT);
    snprintf(line, sizeof line, "rank 0 of %d %s; the job is in collective %lld, %s", (int) comm->size, how,
             (long long) m.started, m.started ? m.name : "none yet");
    if (comm->rank != 1) usleep(1000000);
    tell_process(watch, BL_COMM_EXIT_FAILED, line, comm->rank == 1);
}

static void note_self(bl_watch *watch) {
    bl_message m;
    fill(watch, &m, BL_MESSAGE_BEAT);
    bl_peer_note(&watch->peers[0], &m, bl_now());
}

/* If it was this process that was stopped, the others have left it, and said so. */
static bool was_stopped(const bl_watch *watch) {
    int64_t now = bl_now();
    return (double) (now - watch->last_beat) * 1e-9 > watch->comm->timeout ||
           (watch->awoke && now - watch->awoke < LINGER);
}

static void lost_peer(bl_watch *watch, int32_t rank) {
    char where[96], line[512];
    note_self(watch);
    bl_watch_where(watch->peers, watch->links, where, sizeof where);
    snprintf(line, sizeof line, "rank %d of %d died; the job is in %s", (int) rank, (int) watch->comm->size, where);
    end_job(watch, rank, was_stopped(watch) ? -1 : 0, BL_COMM_EXIT_FAILED, line);
}

static void handle(bl_watch *watch, int32_t index, bl_message *m) {
    bl_peer *peer = &watch->peers[index];
    m->text[sizeof m->text - 1] = '\0';
    if (m->type == BL_MESSAGE_BEAT) {
        bl_peer_note(peer, m, bl_now());
    } else if (m->type == BL_MESSAGE_BYE) {
        pthread_mutex_lock(&watch->lock);
        peer->left = true;
        pthread_cond_broadcast(&watch->changed);
        pthread_mutex_unlock(&watch->lock);
    } else if (m->type == BL_MESSAGE_FAIL) {
        end_job(watch, index, index, m->code, m->text);
    } else if (m->type == BL_MESSAGE_END) {
        obey(watch, m);
    }
}

/* What has arrived of a link; false when its other side is gone. */
static bool drain(bl_watch *watch, int32_t index) {
    bl_peer *peer = &watch->peers[index];
    for (;;) {
        ssize_t n = read(peer->fd, (char *) &peer->message + peer->filled, sizeof peer->message - peer->filled);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return true;
        if (n <= 0) return false;
        peer->filled += (size_t) n;
        if (peer->filled < sizeof peer->message) continue;
        peer->filled = 0;
        bl_message message = peer->message;
        handle(watch, index, &message);
        if (watch->ended) return true;
    }
}

static void hear(bl_watch *watch, int32_t index) {
    bl_peer *peer = &watch->peers[index];
    if (drain(watch, index)) return;
    pthread_mutex_lock(&watch->lock);
    close(peer->fd);
    peer->fd = -1;
    pthread_cond_broadcast(&watch->changed);
    bool fine = peer->left || watch->ended || (watch->leaving && watch->comm->rank != 0);
    pthread_mutex_unlock(&watch->lock);
    if (fine) return;
    if (watch->comm->rank == 0)
        lost_peer(watch, index);
    else
        lost_rank_0(watch, "died");
}

/* By the time at which `now` was read: what passed since then, this process may have spent stopped. */
static void judge(bl_watch *watch, int64_t now) {
    bl_comm *comm = watch->comm;
    char line[512];
    if (comm->rank == 0) {
        note_self(watch);
        int32_t rank = bl_watch_judge(watch->peers, watch->links, now, comm->timeout, line, sizeof line);
        if (rank >= 0) end_job(watch, rank, 0, BL_COMM_EXIT_FAILED, line);
    } else if (!watch->leaving && (double) (now - watch->peers[0].heard) * 1e-9 > comm->timeout) {
        lost_rank_0(watch, "hangs: no sign of life");
    }
}

static void beat(bl_watch *watch) {
    bl_message m;
    fill(watch, &m, BL_MESSAGE_BEAT);
    post_all(watch, &m);
}

/* Beats often enough that a few may be late. */
static int64_t interval_of(double timeout) {
    double seconds = timeout / 8.0;
    return (int64_t) ((seconds > 1.0 ? 1.0 : seconds < 0.02 ? 0.02 : seconds) * (double) SECOND);
}

static void *run(void *argument) {
    bl_watch *watch = argument;
    int64_t interval = interval_of(watch->comm->timeout), next = bl_now();
    struct pollfd *entries = calloc((size_t) watch->links + 1, sizeof *entries);
    /* Without it this process hears nothing; the others notice its silence. */
    while (entries && !watch->ended) {
        int64_t now = bl_now();
        if (now >= next) {
            /* This process itself was stopped or starved: the others' silence proves nothing. */
            for (int32_t i = 0; now - watch->last_beat > 4 * interval && i < watch->links; i++)
                watch->peers[i].heard = watch->peers[i].moved = now;
            if ((double) (now - watch->last_beat) * 1e-9 > watch->comm->timeout) watch->awoke = now;
            watch->last_beat = now;
            beat(watch);
            judge(watch, now);
            next = now + interval;
        }
        entries[0] = (struct pollfd){.fd = watch->wake, .events = POLLIN};
        for (int32_t i = 0; i < watch->links; i++)
            entries[i + 1] = (struct pollfd){.fd = watch->peers[i].fd, .events = POLLIN};
        int64_t left = next - bl_now();
        int n = poll(entries, (nfds_t) watch->links + 1, left > 0 ? (int) (left / 1000000) + 1 : 0);
        if (n > 0 && entries[0].revents) break;
        for (int32_t i = 0; n > 0 && i < watch->links && !watch->ended; i++)
            if (entries[i + 1].revents) hear(watch, i);
    }
    free(entries);
    return NULL;
}

void bl_watch_adopt(bl_watch *watch, bl_comm *comm) {
    watch->comm = comm;
}

bl_status bl_watch_start(bl_watch *watch) {
    int64_t now = bl_now();
    for (int32_t i = 0; i < watch->links; i++)
        watch->peers[i].heard = watch->peers[i].moved = now;
    /* Before the thread runs, which may be late: the process may be stopped before. */
    watch->last_beat = now;
    watch->wake = eventfd(0, EFD_CLOEXEC);
    int failure = watch->wake < 0 ? errno : bl_comm_thread(&watch->thread, run, watch);
    if (failure) return bl_fail(BL_ERROR_MEMORY, "comm: cannot start a thread: %s", strerror(failure));
    watch->running = true;
    return BL_OK;
}

/* Until condition or for `wait` nanoseconds; with the lock held. */
#define AWAIT(watch, condition, wait)                                                                                  \
    do {                                                                                                               \
        int64_t until_ = bl_now() + (wait);                                                                            \
        struct timespec time_ = {.tv_sec = until_ / SECOND, .tv_nsec = until_ % SECOND};                               \
        int late_ = 0;                                                                                                 \
        while (!(condition) && late_ == 0)                                                                             \
            late_ = pthread_cond_timedwait(&(watch)->changed, &(watch)->lock, &time_);                                 \
    } while (0)

void bl_watch_fail(bl_watch *watch, int32_t code, const char *message, bool *print) {
    bl_comm *comm = watch->comm;
    bl_message m;
    fill(watch, &m, comm->rank == 0 ? BL_MESSAGE_END : BL_MESSAGE_FAIL);
    m.code = code;
    snprintf(m.text, sizeof m.text, "rank %d of %d: %s", (int) comm->rank, (int) comm->size, message);
    if (comm->rank == 0) {
        *print = end(watch, 0);
        if (*print) post_all(watch, &m);
    } else {
        post_all(watch, &m);
        pthread_mutex_lock(&watch->lock);
        AWAIT(watch, watch->ended, 2 * SECOND);
        /* Without an answer nobody else speaks. */
        *print = !watch->ended || watch->speaker == comm->rank;
        pthread_mutex_unlock(&watch->lock);
    }
    /* Another rank speaks: on_failure, on the watch's thread, ends this process when it has. */
    if (!*print) usleep((useconds_t) (LINGER / 1000 + 500000));
}

void bl_watch_settle(bl_watch *watch) {
    pthread_mutex_lock(&watch->lock);
    AWAIT(watch, watch->ended, 2 * SECOND);
    pthread_mutex_unlock(&watch->lock);
    if (watch->ended && watch->comm->on_failure) usleep((useconds_t) (LINGER / 1000 + 500000));
}

bl_status bl_watch_leave(bl_watch *watch) {
    bl_comm *comm = watch->comm;
    bl_message m;
    fill(watch, &m, BL_MESSAGE_BYE);
    pthread_mutex_lock(&watch->lock);
    watch->leaving = true;
    if (comm->rank != 0) {
        post(watch, &watch->peers[0], &m);
        /* Rank 0 hangs up when all are done, so that none ends long before the others. */
        AWAIT(watch, watch->ended || watch->peers[0].fd < 0, (int64_t) (comm->timeout * 1e9));
    } else {
        int32_t here = comm->size;
        int64_t deadline = bl_now() + (int64_t) (comm->timeout * 1e9);
        while (here > 0 && !watch->ended && bl_now() < deadline) {
            here = 0;
            for (int32_t i = 1; i < watch->links; i++)
                here += !watch->peers[i].left;
            if (here > 0) AWAIT(watch, watch->ended, SECOND / 20);
        }
    }
    pthread_mutex_unlock(&watch->lock);
    return BL_OK;
}
