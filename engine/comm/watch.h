/*
 * watch.h - signs of life of all ranks: a star of TCP connections around rank 0
 * through which ranks say which collective they are in. Rank 0 decides that a
 * rank is dead or hangs, and tells the others; each process then ends itself
 * through on_failure. Collectives do not pass through here.
 */
#ifndef BERTLUA_COMM_WATCH_H
#define BERTLUA_COMM_WATCH_H

#include "comm.h"
#include "socket.h"

enum { BL_WATCH_PAYLOAD = 256, BL_WATCH_ADDRESSES = 8 };

/* Where rank 0 listens. */
typedef struct bl_watch_address {
    char hosts[BL_WATCH_ADDRESSES][BL_HOST_BYTES];
    int32_t port;
    uint64_t key; /* strangers do not know it */
} bl_watch_address;

/*
 * Rank 0: listen on `port` (0: any free one) and fill in address: every
 * address of this host and, where it has none, a random key.
 */
bl_status bl_watch_listen(bl_watch **out, bl_comm *comm, int32_t port, bl_watch_address *address);
/*
 * All ranks, by deadline (bl_now's clock): meet rank 0, and take its payload of BL_WATCH_PAYLOAD bytes. On
 * rank 0 *out is from bl_watch_listen; elsewhere it is made. Names the ranks that did not join.
 */
bl_status bl_watch_meet(bl_watch **out, bl_comm *comm, const bl_watch_address *address, void *payload,
                        int64_t deadline);
/* Start to watch. */
bl_status bl_watch_start(bl_watch *watch);
/* Say that this rank fails; *print: whether it is the one to say so. */
void bl_watch_fail(bl_watch *watch, int32_t code, const char *message, bool *print);
/* A message failed: give the watch, which knows more, the time to name the rank to blame. */
void bl_watch_settle(bl_watch *watch);
/* Say goodbye; rank 0 waits for everyone's. */
bl_status bl_watch_leave(bl_watch *watch);
/* From now on it watches the collectives of another communicator of the same ranks. */
void bl_watch_adopt(bl_watch *watch, bl_comm *comm);
/* Stop and free; NULL is fine. */
void bl_watch_close(bl_watch *watch);

#endif
