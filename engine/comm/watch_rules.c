/*
 * watch_rules.c - which rank is to blame. A rank that hangs as a whole gives no
 * sign of life; one that is stuck outside a collective, or left the common
 * order of calls, still does, but the others wait for it in a collective.
 */
#include <stdio.h>
#include <string.h>

#include "watch_state.h"

void bl_peer_note(bl_peer *peer, const bl_message *m, int64_t now) {
    peer->heard = now;
    if (m->started != peer->started || m->finished != peer->finished || m->progress != peer->progress)
        peer->moved = now;
    peer->started = m->started;
    peer->finished = m->finished;
    peer->progress = m->progress;
    /* From the end of its work on it is waited for as usual. */
    if (peer->busy) peer->moved = now;
    peer->busy = m->busy != 0;
    memcpy(peer->name, m->name, sizeof peer->name);
    peer->name[sizeof peer->name - 1] = '\0';
}

static void describe(const bl_peer *peer, char *text, size_t bytes) {
    if (peer->started == 0)
        snprintf(text, bytes, "no collective yet");
    else
        snprintf(text, bytes, "collective %lld, %s", (long long) peer->started, peer->name);
}

static int32_t furthest(const bl_peer *peers, int32_t size) {
    int32_t best = 0;
    for (int32_t i = 1; i < size; i++)
        if (peers[i].started > peers[best].started) best = i;
    return best;
}

void bl_watch_where(const bl_peer *peers, int32_t size, char *text, size_t bytes) {
    describe(&peers[furthest(peers, size)], text, bytes);
}

static double seconds_since(int64_t then, int64_t now) {
    return (double) (now - then) * 1e-9;
}

int32_t bl_watch_judge(const bl_peer *peers, int32_t size, int64_t now, double timeout, char *text, size_t bytes) {
    char where[96], own[96];
    bl_watch_where(peers, size, where, sizeof where);
    for (int32_t i = 0; i < size; i++) {
        double silent = seconds_since(peers[i].heard, now);
        if (peers[i].left || silent <= timeout) continue;
        snprintf(text, bytes, "rank %d of %d hangs: no sign of life for %.0f s; the job is in %s", (int) i, (int) size,
                 silent, where);
        return i;
    }
    const bl_peer *first = &peers[furthest(peers, size)];
    for (int32_t i = 0; i < size; i++) {
        const bl_peer *p = &peers[i];
        if (p->started == first->started && p->started > 0 && strcmp(p->name, first->name) != 0) {
            snprintf(text, bytes,
                     "rank %d of %d calls %s as collective %lld, and rank %d %s: the ranks differ in order", (int) i,
                     (int) size, p->name, (long long) p->started, (int) (first - peers), first->name);
            return i;
        }
    }
    /* Whoever waits longest sets the clock; two beats of grace put silence, which says more, first. */
    double waited = 0.0;
    int32_t behind = 0;
    for (int32_t i = 0; i < size; i++) {
        double still = peers[i].started > peers[i].finished ? seconds_since(peers[i].moved, now) : 0.0;
        if (still > waited) waited = still;
        if (peers[i].started < peers[behind].started) behind = i;
    }
    if (waited <= timeout + 2.0) return -1;
    if (peers[behind].started < first->started) {
        if (peers[behind].busy || seconds_since(peers[behind].moved, now) <= timeout) return -1;
        describe(&peers[behind], own, sizeof own);
        snprintf(text, bytes, "rank %d of %d hangs: it is in %s, and the others have waited %.0f s in %s", (int) behind,
                 (int) size, own, waited, where);
        return behind;
    }
    /* All are in it: blame the one whose messages stopped first. */
    for (int32_t i = 0; i < size; i++)
        if (peers[i].started > peers[i].finished && peers[i].moved < peers[behind].moved) behind = i;
    snprintf(text, bytes, "rank %d of %d hangs: no data moved for %.0f s in %s", (int) behind, (int) size, waited,
             where);
    return behind;
}
