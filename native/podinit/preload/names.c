/* Host names: the pod's own, and the cluster's through its DNS. Names the cluster does not know are this machine's business. */
#define _GNU_SOURCE
#include "cluster_names.h"
#include "pod_map.h"
#include "real.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

HOOK int gethostname(char *name, size_t size)
{
    REAL(gethostname);
    const struct pod_map *map = pod_map();
    if (!map->active)
        return real(name, size);
    if (strlen(map->hostname) >= size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(name, map->hostname);
    return 0;
}

HOOK int uname(struct utsname *name)
{
    REAL(uname);
    int result = real(name);
    if (result == 0 && pod_map()->active)
        snprintf(name->nodename, sizeof name->nodename, "%s", pod_map()->hostname);
    return result;
}

/* The pod's own name, localhost, or a cluster name. */
static int lookup(const char *name, struct in_addr *addresses)
{
    const struct pod_map *map = pod_map();
    if (!map->active || name == NULL || inet_pton(AF_INET, name, addresses) == 1 || strchr(name, ':') != NULL || strcmp(name, "localhost") == 0)
        return 0;
    if (strcmp(name, map->hostname) == 0) {
        addresses[0].s_addr = htonl(map->pod_ip);
        return 1;
    }
    return cluster_names_lookup(name, addresses);
}

HOOK int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **results)
{
    REAL(getaddrinfo);
    struct in_addr addresses[CLUSTER_NAMES_MAX];
    bool numeric = hints != NULL && (hints->ai_flags & AI_NUMERICHOST) != 0;
    int count = numeric ? 0 : lookup(name, addresses);
    if (count == 0)
        return real(name, service, hints, results);
    if (hints != NULL && hints->ai_family == AF_INET6 && (hints->ai_flags & AI_V4MAPPED) == 0)
        return EAI_NONAME;
    /* The real function makes the entries, from each address as text; they form one list, as for a name with several addresses. */
    struct addrinfo *first = NULL, **end = &first;
    for (int i = 0; i < count; i++) {
        char text[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &addresses[i], text, sizeof text);
        int error = real(text, service, hints, end);
        if (error != 0) {
            if (first != NULL)
                freeaddrinfo(first);
            return error;
        }
        while (*end != NULL)
            end = &(*end)->ai_next;
    }
    *results = first;
    return 0;
}

/* `getent hosts` and old programs. The result lives until the next call in this thread, as the manual says. */
static struct hostent *entry_of(const char *name, const struct in_addr *found, int count)
{
    static __thread struct in_addr addresses[CLUSTER_NAMES_MAX];
    static __thread char *list[CLUSTER_NAMES_MAX + 1], *aliases[1], canonical[256];
    static __thread struct hostent entry;
    snprintf(canonical, sizeof canonical, "%s", name);
    memcpy(addresses, found, (size_t)count * sizeof *found);
    for (int i = 0; i < count; i++)
        list[i] = (char *)&addresses[i];
    list[count] = NULL;
    entry = (struct hostent){.h_name = canonical, .h_aliases = aliases, .h_addrtype = AF_INET, .h_length = 4, .h_addr_list = list};
    return &entry;
}

HOOK struct hostent *gethostbyname2(const char *name, int family)
{
    REAL(gethostbyname2);
    struct in_addr found[CLUSTER_NAMES_MAX];
    int count = lookup(name, found);
    if (count == 0)
        return real(name, family);
    if (family == AF_INET)
        return entry_of(name, found, count);
    h_errno = NO_DATA;
    return NULL;
}

HOOK struct hostent *gethostbyname(const char *name)
{
    REAL(gethostbyname);
    struct in_addr found[CLUSTER_NAMES_MAX];
    int count = lookup(name, found);
    return count == 0 ? real(name) : entry_of(name, found, count);
}
