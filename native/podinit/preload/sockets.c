/* Socket calls of a pod's program, with the pod network's addresses in place of this machine's. */
#define _GNU_SOURCE
#include "pod_map.h"
#include "real.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

/* Copies and rewrites; `*changed` tells whether the copy is to be used. */
static struct sockaddr_storage rewritten(const struct sockaddr *address, socklen_t size, bool *changed)
{
    struct sockaddr_storage copy;
    memset(&copy, 0, sizeof copy);
    *changed = false;
    if (address != NULL && size >= sizeof(sa_family_t) && size <= sizeof copy) {
        memcpy(&copy, address, size);
        *changed = pod_map_rewrite(&copy);
    }
    return copy;
}

static int real_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    REAL(bind);
    return real(fd, address, size);
}

/* An IPv4 address in an IPv6 socket needs a dual-stack socket. */
static void allow_four(int fd, const struct sockaddr_storage *address)
{
    int no = 0;
    if (address->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
}

HOOK int bind(int fd, const struct sockaddr *address, socklen_t size)
{
    bool changed;
    struct sockaddr_storage copy = rewritten(address, size, &changed);
    if (!changed)
        return real_bind(fd, address, size);
    allow_four(fd, &copy);
    return real_bind(fd, (struct sockaddr *)&copy, size);
}

/* Gives an unbound socket the pod's own address as its source, without choosing a port yet. */
static void bind_source(int fd, int family)
{
    REAL(getsockname);
    struct sockaddr_storage source;
    socklen_t size = sizeof source;
    int error = errno, yes = 1;
    if (real(fd, (struct sockaddr *)&source, &size) < 0)
        return;
    in_port_t port = family == AF_INET ? ((struct sockaddr_in *)&source)->sin_port : ((struct sockaddr_in6 *)&source)->sin6_port;
    if (port == 0) {
        memset(&source, 0, sizeof source);
        source.ss_family = (sa_family_t)family;
        if (pod_map_rewrite(&source)) {
            allow_four(fd, &source);
            setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
            real_bind(fd, (struct sockaddr *)&source, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        }
    }
    errno = error;
}

HOOK int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    REAL(connect);
    bool changed;
    struct sockaddr_storage copy = rewritten(address, size, &changed);
    if (!changed)
        return real(fd, address, size);
    bind_source(fd, copy.ss_family);
    return real(fd, (struct sockaddr *)&copy, size);
}

HOOK int getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    REAL(getsockname);
    int result = real(fd, address, size);
    if (result == 0)
        pod_map_restore(address);
    return result;
}

HOOK int getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    REAL(getpeername);
    int result = real(fd, address, size);
    if (result == 0)
        pod_map_restore(address);
    return result;
}

HOOK int accept(int fd, struct sockaddr *address, socklen_t *size)
{
    REAL(accept);
    int result = real(fd, address, size);
    if (result >= 0)
        pod_map_restore(address);
    return result;
}

HOOK int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    REAL(accept4);
    int result = real(fd, address, size, flags);
    if (result >= 0)
        pod_map_restore(address);
    return result;
}

HOOK ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *address, socklen_t size)
{
    REAL(sendto);
    bool changed;
    struct sockaddr_storage copy = rewritten(address, size, &changed);
    if (!changed)
        return real(fd, data, length, flags, address, size);
    bind_source(fd, copy.ss_family);
    return real(fd, data, length, flags, (struct sockaddr *)&copy, size);
}

HOOK ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    bool changed;
    struct sockaddr_storage copy = rewritten(message->msg_name, message->msg_namelen, &changed);
    if (!changed)
        return real(fd, message, flags);
    struct msghdr other = *message;
    other.msg_name = &copy;
    bind_source(fd, copy.ss_family);
    return real(fd, &other, flags);
}

/* One by one: what matters here is the address, not the saved system calls. */
HOOK int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    for (unsigned i = 0; i < count; i++) {
        ssize_t sent = sendmsg(fd, &messages[i].msg_hdr, flags);
        if (sent < 0)
            return i == 0 ? -1 : (int)i;
        messages[i].msg_len = (unsigned)sent;
    }
    return (int)count;
}

HOOK ssize_t recvfrom(int fd, void *data, size_t length, int flags, struct sockaddr *address, socklen_t *size)
{
    REAL(recvfrom);
    /* On a stream socket the kernel leaves the address alone. */
    if (address != NULL && size != NULL && *size >= sizeof address->sa_family)
        address->sa_family = AF_UNSPEC;
    ssize_t result = real(fd, data, length, flags, address, size);
    if (result >= 0)
        pod_map_restore(address);
    return result;
}

HOOK ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    REAL(recvmsg);
    ssize_t result = real(fd, message, flags);
    if (result >= 0 && message->msg_namelen >= sizeof(struct sockaddr_in))
        pod_map_restore(message->msg_name);
    return result;
}
