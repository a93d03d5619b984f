/* Errors of podinit: one line for the node agent, then exit. */
#ifndef PODINIT_FAIL_H
#define PODINIT_FAIL_H

/* Where fail() writes. Starts as stderr; `run` points it at its status pipe. */
extern int fail_fd;

/* Writes "error <message>: <strerror(errno)>\n" (the last part only if errno is set) and exits with 125. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
