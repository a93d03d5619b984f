#define _GNU_SOURCE
#include "control.h"

#include "fail.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void control_open(int ends[2])
{
    int yes = 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ||
        setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) < 0)
        fail("socketpair");
}

void control_send(int control, struct message message, int fd)
{
    char space[CMSG_SPACE(sizeof fd)] __attribute__((aligned(8))) = {0};
    struct iovec content = {.iov_base = &message, .iov_len = sizeof message};
    struct msghdr header = {.msg_iov = &content, .msg_iovlen = 1};
    if (fd >= 0) {
        header.msg_control = space;
        header.msg_controllen = sizeof space;
        struct cmsghdr *extra = CMSG_FIRSTHDR(&header);
        extra->cmsg_level = SOL_SOCKET;
        extra->cmsg_type = SCM_RIGHTS;
        extra->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(extra), &fd, sizeof fd);
    }
    if (sendmsg(control, &header, MSG_NOSIGNAL) < 0)
        fail("report to the parent");
}

int control_receive(int control, struct message *message, pid_t *pid, int *fd)
{
    char space[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec content = {.iov_base = message, .iov_len = sizeof *message};
    struct msghdr header = {.msg_iov = &content, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    ssize_t got;
    do
        got = recvmsg(control, &header, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (fd != NULL)
        *fd = -1;
    if (got != (ssize_t)sizeof *message)
        return 0;
    for (struct cmsghdr *extra = CMSG_FIRSTHDR(&header); extra != NULL; extra = CMSG_NXTHDR(&header, extra)) {
        if (extra->cmsg_level != SOL_SOCKET)
            continue;
        struct ucred credentials;
        if (extra->cmsg_type == SCM_CREDENTIALS && pid != NULL) {
            memcpy(&credentials, CMSG_DATA(extra), sizeof credentials);
            *pid = credentials.pid;
        } else if (extra->cmsg_type == SCM_RIGHTS && fd != NULL)
            memcpy(fd, CMSG_DATA(extra), sizeof *fd);
    }
    return 1;
}
