/* The functions behind the ones this library replaces. */
#ifndef REAL_H
#define REAL_H

#include <dlfcn.h>

#define HOOK __attribute__((visibility("default")))

/* Declares `real`, the next definition of `name` in load order. */
#define REAL(name)                                    \
    static __typeof__(&name) real;                    \
    if (real == NULL)                                 \
        *(void **)&real = dlsym(RTLD_NEXT, #name)

#endif
