#define _GNU_SOURCE
#include "program.h"

#include "control.h"
#include "fail.h"
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static void open_terminal(const struct spec *spec, int control)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || unlockpt(master) < 0)
        fail("open a terminal");
    struct winsize size = {.ws_col = spec->columns, .ws_row = spec->rows};
    ioctl(master, TIOCSWINSZ, &size);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
        fail("take the terminal");
    for (int fd = 0; fd <= 2; fd++)
        dup2(slave, fd);
    control_send(control, (struct message){.kind = MESSAGE_TERMINAL}, master);
    close(master);
}

/* A working directory that the image lacks is made, as container runtimes do. */
static void enter_directory(const char *path)
{
    char partial[PATH_MAX];
    snprintf(partial, sizeof partial, "%s/", path);
    for (char *slash = strchr(partial + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(partial, 0755) < 0 && errno != EEXIST && errno != EROFS)
            break;
        *slash = '/';
    }
    if (chdir(path) < 0)
        fail("chdir to the working directory \"%s\"", path);
    errno = 0;
}

static const char *search_path(char *const env[])
{
    for (; *env != NULL; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return default_path;
}

static void try_exec(const char *path, const struct spec *spec)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return;
    if (S_ISDIR(status.st_mode)) {
        errno = EACCES;
        return;
    }
    execve(path, spec->argv, spec->env);
}

/* The texts are those of runc, which people know from `kubectl describe`. */
static void exec_program(const struct spec *spec)
{
    const char *name = spec->argv[0];
    if (strchr(name, '/') != NULL) {
        try_exec(name, spec);
        fail("exec: \"%s\"", name);
    }
    int denied = 0;
    char path[PATH_MAX];
    for (const char *start = search_path(spec->env); *start != '\0';) {
        size_t length = strcspn(start, ":");
        if (snprintf(path, sizeof path, "%.*s/%s", (int)length, start, name) < (int)sizeof path) {
            errno = 0;
            try_exec(path, spec);
            if (errno == EACCES)
                denied = 1;
            else if (errno != ENOENT && errno != ENOTDIR && errno != 0)
                fail("exec: \"%s\"", path);
        }
        start += length + (start[length] == ':');
    }
    errno = denied ? EACCES : 0;
    if (denied)
        fail("exec: \"%s\"", name);
    fail("exec: \"%s\": executable file not found in $PATH", name);
}

void program_exec(const struct spec *spec, struct program_io io, int control)
{
    if (setsid() < 0)
        fail("start a session");
    if (spec->tty)
        open_terminal(spec, control);
    else if (io.in >= 0 && (dup2(io.in, 0) < 0 || dup2(io.out, 1) < 0 || dup2(io.error, 2) < 0))
        fail("attach the pipes");
    enter_directory(spec->cwd);
    umask(022);
    supervise_restore_signals();
    exec_program(spec);
    _exit(125);
}
