#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fail_fd = STDERR_FILENO;

void fail(const char *format, ...)
{
    int error = errno;
    char line[1024];
    size_t used = (size_t)snprintf(line, sizeof line, "error ");
    va_list arguments;
    va_start(arguments, format);
    int added = vsnprintf(line + used, sizeof line - used, format, arguments);
    va_end(arguments);
    if (added > 0)
        used += (size_t)added < sizeof line - used ? (size_t)added : sizeof line - used - 1;
    if (error != 0)
        snprintf(line + used, sizeof line - used, ": %s", strerror(error));
    used = strlen(line);
    line[used < sizeof line - 1 ? used++ : used - 1] = '\n';
    /* Nothing can be done about a failed report; the exit code still tells. */
    if (write(fail_fd, line, used) < 0)
        _exit(124);
    _exit(125);
}
