/*
 * watch_state.h - what a watch knows of each rank, its messages, and the rules
 * that name the rank to blame.
 */
#ifndef BERTLUA_COMM_WATCH_STATE_H
#define BERTLUA_COMM_WATCH_STATE_H

#include "watch.h"

typedef enum bl_message_type {
    BL_MESSAGE_HELLO = 1, /* to rank 0: here I am */
    BL_MESSAGE_WELCOME,   /* from rank 0 when all are here: the payload */
    BL_MESSAGE_BEAT,      /* both ways: alive, in this collective */
    BL_MESSAGE_FAIL,      /* to rank 0: I cannot continue */
    BL_MESSAGE_END,       /* from rank 0: the job ends because of `rank` */
    BL_MESSAGE_BYE        /* to rank 0: done */
} bl_message_type;

/* Fixed size, native byte order: the ranks of a job run one build. */
typedef struct bl_message {
    uint64_t key;
    int32_t type;
    int32_t rank;
    int32_t code;    /* of END and FAIL: exit code; of HELLO: size of the job */
    int32_t speaker; /* of END: the rank that prints it */
    int32_t busy;
    int32_t unused;
    int64_t started;
    int64_t finished;
    int64_t progress;
    char name[48];
    char text[512];
} bl_message;

/* A rank as rank 0 sees it. */
typedef struct bl_peer {
    int fd;        /* -1: none */
    bool busy;     /* others may wait for it */
    bool left;     /* said goodbye */
    int64_t heard; /* when it last gave a sign of life */
    int64_t moved; /* when started, finished or progress last changed */
    int64_t started;
    int64_t finished;
    int64_t progress;
    char name[48]; /* of the collective numbered `started` */
    size_t filled;
    bl_message message; /* being received */
} bl_peer;

/* Take over what a beat says. */
void bl_peer_note(bl_peer *peer, const bl_message *message, int64_t now);
/* "collective 17, all_reduce f32 1024", of the rank that is furthest; "no collective yet". */
void bl_watch_where(const bl_peer *peers, int32_t size, char *text, size_t bytes);
/*
 * The first rank that is silent, holds the others up, or calls another
 * collective than they do, with the line that says so; -1 if all is well.
 */
int32_t bl_watch_judge(const bl_peer *peers, int32_t size, int64_t now, double timeout, char *text, size_t bytes);

#endif
