/*
 * meet.c - how ranks that no MPI started find each other: at the address and
 * port of rank 0 that the launcher told all of them. Rank 0 hands a few bytes
 * to everyone, which is all that NCCL needs to begin.
 */
#include <stdio.h>
#include <string.h>

#include "comm.h"
#include "watch.h"

bl_status bl_comm_meet(bl_comm *comm, const bl_comm_options *options) {
    bl_watch_address address = {.port = options->master_port};
    uint64_t key = UINT64_C(1469598103934665603); /* FNV-1a of what all ranks were told */
    for (const char *at = options->master_addr; *at; at++)
        key = (key ^ (uint8_t) *at) * UINT64_C(1099511628211);
    address.key = key;
    if (comm->rank == 0) {
        BL_TRY(bl_watch_listen(&comm->watch, comm, options->master_port, &address));
    } else {
        snprintf(address.hosts[0], sizeof address.hosts[0], "%s", options->master_addr);
        address.port = options->master_port;
    }
    return bl_watch_meet(&comm->watch, comm, &address, comm->payload, bl_now() + (int64_t) (comm->timeout * 1e9));
}

BL_API bl_status bl_comm_rendezvous(const bl_comm_options *options, void *payload, size_t bytes) {
    if (!options || !options->master_addr)
        return bl_fail(BL_ERROR_ARGUMENT, "rendezvous: master_addr is NULL, expected the address of rank 0");
    bl_comm *comm = NULL;
    BL_TRY(bl_comm_create(&comm, options));
    bl_status status = BL_OK;
    if (bytes > sizeof comm->payload)
        status = bl_fail(BL_ERROR_ARGUMENT, "rendezvous: %zu bytes, expected at most %zu", bytes, sizeof comm->payload);
    if (status == BL_OK && comm->rank == 0) memcpy(comm->payload, payload, bytes);
    if (status == BL_OK && comm->size > 1) status = bl_comm_meet(comm, options);
    if (status == BL_OK) memcpy(payload, comm->payload, bytes);
    bl_comm_destroy(comm);
    return status;
}
