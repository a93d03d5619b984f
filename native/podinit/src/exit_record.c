#define _GNU_SOURCE
#include "exit_record.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void exit_record_write(const char *path, int wait_status)
{
    int signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    int code = signal != 0 ? 128 + signal : WEXITSTATUS(wait_status);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    char time[32], text[160], partial[PATH_MAX];
    strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &utc);
    int size = snprintf(text, sizeof text, "{\"exitCode\":%d,\"signal\":%d,\"finishedAt\":\"%s.%03ldZ\"}\n", code, signal, time,
                        now.tv_nsec / 1000000);
    if (snprintf(partial, sizeof partial, "%s.partial", path) >= (int)sizeof partial)
        return;
    int fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    int complete = write(fd, text, (size_t)size) == size && fsync(fd) == 0;
    close(fd);
    if (!complete || rename(partial, path) < 0)
        unlink(partial);
}
