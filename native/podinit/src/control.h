/* The socket pair between `podinit run` and what it starts: whole messages, each with the sender's pid as seen by us. */
#ifndef PODINIT_CONTROL_H
#define PODINIT_CONTROL_H

#include <sys/types.h>

enum message_kind {
    /* The first process is there; its credentials tell the pid. */
    MESSAGE_HELLO = 1,
    /* The parent is alive and knows the pid: go on. */
    MESSAGE_GO,
    /* Carries the master side of the program's terminal. */
    MESSAGE_TERMINAL,
    /* The wait status of the program. */
    MESSAGE_STATUS,
};

struct message {
    enum message_kind kind;
    int status;
};

void control_open(int ends[2]);

/* `fd` < 0: none is sent along. Fails the program on error. */
void control_send(int control, struct message message, int fd);

/*
 * Waits for the next message; returns 0 if there will be none. `pid` and `fd` may be NULL; `*fd` is -1 if none came.
 */
int control_receive(int control, struct message *message, pid_t *pid, int *fd);

#endif
