#define _GNU_SOURCE
#include "namespace.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int namespace_open(pid_t pid, const char *kind)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail("open %s", path);
    return fd;
}

static bool is_own(int fd, const char *kind)
{
    struct stat own, other;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
    return stat(path, &own) == 0 && fstat(fd, &other) == 0 && own.st_ino == other.st_ino && own.st_dev == other.st_dev;
}

void namespace_enter(pid_t pid, const char *kind)
{
    int fd = namespace_open(pid, kind);
    /* The kernel refuses to enter the user namespace one is in; a privileged owner may not have made one. */
    if (!is_own(fd, kind) && setns(fd, 0) < 0)
        fail("enter the %s namespace of process %d", kind, (int)pid);
    close(fd);
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return written == (ssize_t)strlen(text) ? 0 : -1;
}

/* Turns our own id map ("inside outside count" lines) into one that maps every id of ours to itself. */
static int identity_map(const char *own_map, char *map, size_t size)
{
    FILE *file = fopen(own_map, "re");
    if (file == NULL)
        return -1;
    unsigned long inside, outside, count;
    size_t used = 0;
    while (fscanf(file, "%lu %lu %lu", &inside, &outside, &count) == 3 && used < size)
        used += (size_t)snprintf(map + used, size - used, "%lu %lu %lu\n", inside, inside, count);
    fclose(file);
    return used > 0 && used < size ? 0 : -1;
}

/* Runs outside the new namespace: only there does a privileged process hold the right to map more than one id. */
static int write_identity_maps(pid_t target)
{
    char path[64], map[4096];
    if (identity_map("/proc/self/uid_map", map, sizeof map) < 0)
        return -1;
    snprintf(path, sizeof path, "/proc/%d/uid_map", (int)target);
    if (write_file(path, map) < 0)
        return -1;
    if (identity_map("/proc/self/gid_map", map, sizeof map) < 0)
        return -1;
    snprintf(path, sizeof path, "/proc/%d/gid_map", (int)target);
    return write_file(path, map);
}

void namespace_become_root(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) < 0)
        fail("pipe");
    pid_t self = getpid();
    pid_t mapper = uid == 0 ? fork() : -1;
    if (mapper == 0) {
        char byte;
        close(ready[1]);
        _exit(read(ready[0], &byte, 1) == 1 && write_identity_maps(self) == 0 ? 0 : 1);
    }
    close(ready[0]);
    if (unshare(CLONE_NEWUSER) < 0) {
        if (uid != 0)
            fail("make a user namespace");
        /* User namespaces are switched off: root may still be allowed the others as it is. */
        close(ready[1]);
        waitpid(mapper, NULL, 0);
        errno = 0;
        return;
    }
    int mapped = 0;
    if (mapper > 0) {
        int status = 1;
        if (write(ready[1], "m", 1) != 1)
            fail("wake the id mapper");
        waitpid(mapper, &status, 0);
        mapped = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    close(ready[1]);
    if (!mapped) {
        char map[64];
        snprintf(map, sizeof map, "0 %u 1\n", uid);
        if (write_file("/proc/self/uid_map", map) < 0)
            fail("map the user id");
        /* Without privilege a group map is only allowed to those who give up setgroups(). */
        if (write_file("/proc/self/setgroups", "deny") < 0 && errno != ENOENT)
            fail("deny setgroups");
        snprintf(map, sizeof map, "0 %u 1\n", gid);
        if (write_file("/proc/self/gid_map", map) < 0)
            fail("map the group id");
    }
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        fail("become root in the user namespace");
}
