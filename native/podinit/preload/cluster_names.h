/* A small DNS client for the cluster's own server. */
#ifndef CLUSTER_NAMES_H
#define CLUSTER_NAMES_H

#include <netinet/in.h>

enum { CLUSTER_NAMES_MAX = 32 };

/* Looks up the IPv4 addresses of a name, through the pod's search list. Writes up to CLUSTER_NAMES_MAX addresses, returns how many; 0: the cluster has no such name. */
int cluster_names_lookup(const char *name, struct in_addr *addresses);

#endif
