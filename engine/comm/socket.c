/*
 * socket.c - TCP with deadlines. Sockets are non-blocking and closed on exec;
 * small messages are sent at once (TCP_NODELAY).
 */
#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "comm.h"

static int await(int fd, short events, int64_t deadline) {
    for (;;) {
        int64_t left = deadline - bl_now();
        if (left <= 0) return ETIMEDOUT;
        struct pollfd entry = {.fd = fd, .events = events};
        int64_t ms = left / 1000000 + 1;
        int n = poll(&entry, 1, ms > 3600000 ? 3600000 : (int) ms);
        if (n > 0) return 0;
        if (n < 0 && errno != EINTR) return errno;
    }
}

static void send_at_once(int fd) {
    int on = 1;
    /* Only slower without it. */
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int bl_tcp_listen(int32_t *port, int *out) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) *port)};
    socklen_t length = sizeof address;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *) &address, sizeof address) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *) &address, &length) != 0) {
        int failure = errno;
        close(fd);
        return failure;
    }
    *port = ntohs(address.sin_port);
    *out = fd;
    return 0;
}

int bl_tcp_accept(int listener, int64_t deadline, int *out) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            send_at_once(fd);
            *out = fd;
            return 0;
        }
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) return errno;
        int failure = await(listener, POLLIN, deadline);
        if (failure) return failure;
    }
}

static int connect_to(const struct addrinfo *info, int64_t deadline, int *out) {
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    int failure = connect(fd, info->ai_addr, info->ai_addrlen) == 0 ? 0 : errno;
    if (failure == EINPROGRESS) {
        socklen_t length = sizeof failure;
        failure = await(fd, POLLOUT, deadline);
        if (!failure && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &length) != 0) failure = errno;
    }
    if (failure) {
        close(fd);
        return failure;
    }
    send_at_once(fd);
    *out = fd;
    return 0;
}

int bl_tcp_connect(const char *host, int32_t port, int64_t deadline, int *out) {
    char service[16];
    snprintf(service, sizeof service, "%d", (int) port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    if (getaddrinfo(host, service, &hints, &list) != 0) return EHOSTUNREACH;
    int failure = EHOSTUNREACH;
    for (const struct addrinfo *info = list; info && failure; info = info->ai_next)
        failure = connect_to(info, deadline, out);
    freeaddrinfo(list);
    return failure;
}

int bl_tcp_send(int fd, const void *data, size_t bytes, int64_t deadline) {
    const char *at = data;
    while (bytes > 0) {
        ssize_t n = send(fd, at, bytes, MSG_NOSIGNAL);
        if (n >= 0) {
            at += n;
            bytes -= (size_t) n;
        } else if (errno == EAGAIN) {
            int failure = await(fd, POLLOUT, deadline);
            if (failure) return failure;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int bl_tcp_receive(int fd, void *data, size_t bytes, int64_t deadline) {
    char *at = data;
    while (bytes > 0) {
        ssize_t n = recv(fd, at, bytes, 0);
        if (n > 0) {
            at += n;
            bytes -= (size_t) n;
        } else if (n == 0) {
            return ECONNRESET;
        } else if (errno == EAGAIN) {
            int failure = await(fd, POLLIN, deadline);
            if (failure) return failure;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int32_t bl_tcp_addresses(char (*hosts)[BL_HOST_BYTES], int32_t capacity) {
    struct ifaddrs *list = NULL;
    int32_t n = 0;
    if (getifaddrs(&list) != 0) list = NULL;
    for (int loopback = 0; loopback < 2; loopback++)
        for (const struct ifaddrs *a = list; a && n < capacity; a = a->ifa_next) {
            if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET || !(a->ifa_flags & IFF_UP)) continue;
            if (((a->ifa_flags & IFF_LOOPBACK) != 0) != loopback) continue;
            const struct sockaddr_in *in = (const void *) a->ifa_addr;
            if (inet_ntop(AF_INET, &in->sin_addr, hosts[n], BL_HOST_BYTES)) n++;
        }
    if (list) freeifaddrs(list);
    return n;
}
