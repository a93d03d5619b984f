/* The last step: from a forked podinit process to the pod's program. */
#ifndef PODINIT_PROGRAM_H
#define PODINIT_PROGRAM_H

#include "spec.h"

/* Pipe ends for the program's stdin, stdout, stderr (-1: keep ours), and the ends of those pipes that `podinit run` keeps. */
struct program_io {
    int in, out, error;
    int far_ends[3];
};

/* Becomes the program. A terminal, if the spec wants one, is opened here and its master goes to `control`. Reports errors by fail(). */
void program_exec(const struct spec *spec, struct program_io io, int control) __attribute__((noreturn));

#endif
