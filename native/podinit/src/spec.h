/* What `podinit run` shall do, as the node agent writes it on a pipe: words that end with NUL, grouped into directives. */
#ifndef PODINIT_SPEC_H
#define PODINIT_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct mount {
    const char *source;
    const char *target;
    bool read_only;
};

struct spec {
    /* `owner PID`: whose user namespace to enter. 0: no namespaces at all (loopback driver). */
    pid_t owner;
    /* `pause PID`: the sandbox whose network, host name and process namespace to enter. */
    pid_t pause;
    /* `join PID`: the init of a running container whose file view and process namespace to share. */
    pid_t join;
    /* `root DIR`: an empty directory to build the container's file view on. */
    const char *root;
    /* `mount ro|rw SOURCE TARGET`, in order. */
    struct mount *mounts;
    size_t mount_count;
    /* `cwd DIR`, inside the file view. */
    const char *cwd;
    /* `arg WORD` and `env NAME=VALUE`, NULL-terminated. */
    char **argv;
    char **env;
    /* `tty COLUMNS ROWS`. */
    bool tty;
    unsigned short columns, rows;
    /* `tied`: end when the agent ends. */
    bool tied;
    /* `contain`: without namespaces, end everything the program has started when it ends. */
    bool contain;
    /* `relay`: the program gets pipes; their content is copied from and to our own stdin, stdout and stderr. */
    bool relay;
};

/* Reads until end of file; fails the program on a malformed spec. The result lives as long as the process. */
struct spec spec_read(int fd);

#endif
