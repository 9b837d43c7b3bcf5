/*
 * collective.h - collectives out of messages between two ranks. Called by the
 * communication thread only.
 */
#ifndef BERTLUA_COMM_COLLECTIVE_H
#define BERTLUA_COMM_COLLECTIVE_H

#include "comm.h"
#include "p2p.h"

typedef struct bl_link {
    bl_comm *comm;
    const bl_p2p *p2p;
    void *scratch;
    size_t scratch_bytes;
    const void **parts; /* one pointer per rank */
} bl_link;

/* Run one collective to its end; BL_ERROR_INTERNAL if the communicator broke meanwhile. */
bl_status bl_collective_run(bl_link *link, const bl_job *job);
/* Block of bytes from rank 0 to all. */
bl_status bl_collective_share(bl_link *link, void *data, int64_t bytes);
void bl_link_free(bl_link *link);

#endif
