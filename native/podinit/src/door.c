/*
 * podinit door: gives the node agent sockets that live inside the pod network.
 *
 * A socket belongs to the network namespace in which it was made, for ever, whoever uses it. This process enters the
 * namespace, connects or listens, and passes the socket itself to the agent; no byte of traffic goes through here.
 *
 * stdin: requests, one per line. PID 0 is the cluster's own namespace, else a sandbox's first process:
 *   connect ID PID IP PORT      a connected TCP socket
 *   listen ID PID IP PORT       a listening TCP socket
 *   datagram ID PID IP PORT     a bound UDP socket
 *   delete ID 0 INTERFACE 0     removes an interface
 * fd NODE_CHANNEL_FD: answers in the framing of Node's child_process IPC (JSON lines, sockets as SCM_RIGHTS), so that the
 * agent receives them as `message` events with a handle: {"id"} or {"id","error":errno}.
 */
#define _GNU_SOURCE
#include "commands.h"
#include "fail.h"
#include "namespace.h"
#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>

enum { MAX_PENDING = 1024, BACKLOG = 511, FIXED = 2 };

/* Connections under way: pending_id[i] belongs to polled[FIXED + i]. */
static struct pollfd polled[FIXED + MAX_PENDING];
static unsigned pending_id[MAX_PENDING];
static int pending_count;
static int channel = -1, cluster_netns = -1;

static void send_text(const char *text, int fd)
{
    char space[CMSG_SPACE(sizeof fd)] __attribute__((aligned(8))) = {0};
    struct iovec content = {.iov_base = (void *)text, .iov_len = strlen(text)};
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
    /* The channel blocks here; the agent reads it at every turn of its event loop. */
    if (sendmsg(channel, &header, MSG_NOSIGNAL) != (ssize_t)content.iov_len)
        exit(1);
}

static void answer_error(unsigned id, int error)
{
    char text[64];
    snprintf(text, sizeof text, "{\"id\":%u,\"error\":%d}\n", id, error);
    send_text(text, -1);
}

/* `type` as in Node's lib/internal/child_process.js; `extra` more fields of the envelope. */
static void answer_socket(unsigned id, const char *type, const char *extra, int fd)
{
    char text[128];
    snprintf(text, sizeof text, "{\"cmd\":\"NODE_HANDLE\",\"type\":\"%s\",%s\"msg\":{\"id\":%u}}\n", type, extra, id);
    send_text(text, fd);
    close(fd);
}

static void watch_connection(unsigned id, int fd)
{
    pending_id[pending_count] = id;
    polled[FIXED + pending_count++] = (struct pollfd){.fd = fd, .events = POLLOUT};
}

static void finish_connection(int i)
{
    int fd = polled[FIXED + i].fd, error = 0;
    unsigned id = pending_id[i];
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    pending_count--;
    pending_id[i] = pending_id[pending_count];
    polled[FIXED + i] = polled[FIXED + pending_count];
    if (error == 0) {
        answer_socket(id, "net.Socket", "", fd);
        return;
    }
    close(fd);
    answer_error(id, error);
}

static int enter(pid_t pid)
{
    if (pid == 0)
        return 0;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = setns(fd, CLONE_NEWNET);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static int make_socket(pid_t pid, int type)
{
    if (enter(pid) < 0)
        return -1;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = errno;
    if (pid != 0 && setns(cluster_netns, CLONE_NEWNET) < 0)
        exit(1);
    errno = error;
    return fd;
}

static void serve(const char *verb, unsigned id, pid_t pid, const char *word, unsigned port)
{
    if (strcmp(verb, "delete") == 0) {
        int netlink = netlink_open();
        int error = netlink_delete(netlink, word);
        close(netlink);
        answer_error(id, error);
        return;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int datagram = strcmp(verb, "datagram") == 0, yes = 1;
    if (inet_pton(AF_INET, word, &address.sin_addr) != 1 || port > 65535) {
        answer_error(id, EINVAL);
        return;
    }
    int fd = make_socket(pid, datagram ? SOCK_DGRAM : SOCK_STREAM);
    if (fd < 0) {
        answer_error(id, errno);
        return;
    }
    if (strcmp(verb, "connect") == 0) {
        if (pending_count == MAX_PENDING)
            errno = EAGAIN;
        else if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS) {
            watch_connection(id, fd);
            return;
        }
    } else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
               bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && (datagram || listen(fd, BACKLOG) == 0)) {
        answer_socket(id, datagram ? "dgram.Socket" : "net.Server", datagram ? "\"dgramType\":\"udp4\"," : "", fd);
        return;
    }
    int error = errno;
    close(fd);
    answer_error(id, error);
}

/* Reads what stdin has and serves the complete lines. */
static void read_requests(void)
{
    static char buffer[65536];
    static size_t used;
    ssize_t got = read(STDIN_FILENO, buffer + used, sizeof buffer - used - 1);
    if (got <= 0)
        exit(0); /* the agent is gone */
    used += (size_t)got;
    buffer[used] = '\0';
    char *line = buffer, *end;
    while ((end = strchr(line, '\n')) != NULL) {
        char verb[16], word[32];
        unsigned id, port;
        int pid;
        *end = '\0';
        if (sscanf(line, "%15s %u %d %31s %u", verb, &id, &pid, word, &port) == 5)
            serve(verb, id, (pid_t)pid, word, port);
        line = end + 1;
    }
    used -= (size_t)(line - buffer);
    memmove(buffer, line, used);
}

int door_command(int argc, char **argv)
{
    const char *channel_fd = getenv("NODE_CHANNEL_FD");
    if (argc != 3 || channel_fd == NULL)
        fail("usage: podinit %s DIRECTORY OWNER_PID, as a child of Node with an IPC channel", argv[0]);
    channel = atoi(channel_fd);
    fcntl(channel, F_SETFD, FD_CLOEXEC);
    fcntl(channel, F_SETFL, fcntl(channel, F_GETFL) & ~O_NONBLOCK);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pid_t owner = (pid_t)atoi(argv[2]);
    cluster_netns = namespace_open(owner, "net");
    namespace_enter(owner, "user");
    if (setns(cluster_netns, CLONE_NEWNET) < 0)
        fail("enter the cluster's network");
    polled[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = channel, .events = POLLIN};
    answer_error(0, 0); /* ready */
    for (;;) {
        if (poll(polled, (nfds_t)(FIXED + pending_count), -1) < 0 && errno != EINTR)
            fail("poll");
        for (int i = pending_count - 1; i >= 0; i--)
            if (polled[FIXED + i].revents != 0)
                finish_connection(i);
        if (polled[1].revents != 0) {
            /* Node acknowledges every socket; nothing depends on it. */
            char ignored[4096];
            if (read(channel, ignored, sizeof ignored) <= 0)
                return 0;
        }
        if (polled[0].revents != 0)
            read_requests();
    }
}
