/* Entering and making namespaces. */
#ifndef PODINIT_NAMESPACE_H
#define PODINIT_NAMESPACE_H

#include <sys/types.h>

/* Opens /proc/<pid>/ns/<kind>; fails the program when it cannot. */
int namespace_open(pid_t pid, const char *kind);

/* Opens and enters one namespace of `pid`. */
void namespace_enter(pid_t pid, const char *kind);

/*
 * Makes a user namespace in which this process is root. A privileged caller keeps all its ids (mapped to themselves), so
 * that file owners look the same inside; anybody else gets the one id the kernel allows. Where user namespaces are switched
 * off, root goes on without one.
 */
void namespace_become_root(void);

#endif
