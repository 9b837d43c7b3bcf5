/*
 * socket.h - TCP with deadlines, for the few small messages of the watch.
 * Deadlines are nanoseconds of bl_now's clock. Functions that return int give
 * 0, or an errno value.
 */
#ifndef BERTLUA_COMM_SOCKET_H
#define BERTLUA_COMM_SOCKET_H

#include <stddef.h>
#include <stdint.h>

/* Room for the name of a host. */
enum { BL_HOST_BYTES = 256 };

/* Listen on every address of this host; *port 0 becomes the port that was free. */
int bl_tcp_listen(int32_t *port, int *out);
/* The next caller, or ETIMEDOUT. */
int bl_tcp_accept(int listener, int64_t deadline, int *out);
/* host: a name or an address. */
int bl_tcp_connect(const char *host, int32_t port, int64_t deadline, int *out);
int bl_tcp_send(int fd, const void *data, size_t bytes, int64_t deadline);
/* ECONNRESET at the end of the stream. */
int bl_tcp_receive(int fd, void *data, size_t bytes, int64_t deadline);
/* Numeric IPv4 addresses of this host, loopback last; returns how many of `capacity`. */
int32_t bl_tcp_addresses(char (*hosts)[BL_HOST_BYTES], int32_t capacity);

#endif
