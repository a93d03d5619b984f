/* The files a container sees. */
#ifndef PODINIT_FILE_VIEW_H
#define PODINIT_FILE_VIEW_H

#include "spec.h"

/*
 * Builds the container's root on `given->root` and makes it the root of this process, which must be alone in a new mount
 * namespace. The host's programs (/usr, /opt, …) are there read-only; /etc is made of links to the host's, without its
 * secrets and without what a pod has of its own; /tmp, /root, /run, /var, /workspace are empty and writable; everything
 * else of the host, above all people's home directories, is absent unless `given->mounts` names it.
 */
void file_view_enter(const struct spec *given);

#endif
