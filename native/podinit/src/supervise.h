/* Being the parent of one program: signals go to it, its output comes from it, its end is ours. */
#ifndef PODINIT_SUPERVISE_H
#define PODINIT_SUPERVISE_H

#include <stddef.h>
#include <sys/types.h>

/* Copies bytes one way, with at most one buffer of them in flight. `from` < 0: not in use (any more). */
struct channel {
    int from;
    int to;
    char *buffer;
    size_t start, end;
    /* Set for the way to a terminal: it gets an end-of-file character where a pipe would be closed. */
    int terminal;
};

enum { CHANNEL_IN, CHANNEL_OUT, CHANNEL_ERROR, CHANNEL_COUNT };

struct supervision {
    pid_t child;
    /* Signals go to the child's process group instead of the child alone. */
    int to_group;
    struct channel channels[CHANNEL_COUNT];
    /* Where lines "COLUMNS ROWS" arrive for the terminal `master`; -1: none. */
    int resize;
    int master;
};

/* Blocks every signal that supervise() wants to see; call before fork(). */
void supervise_prepare(void);

/* In the forked child: the state a fresh program expects. */
void supervise_restore_signals(void);

/* Runs until the child has ended and its last output is passed on. Returns its wait status. Reaps strays. */
int supervise(struct supervision *supervision);

#endif
