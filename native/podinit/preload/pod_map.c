#include "pod_map.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOCALHOST = 0x7f000001, PORTS_BELOW = 1024 };

static struct pod_map map;

static void read_environment(void)
{
    const char *text = getenv("DYNAMO_LABS_LOOPBACK");
    char ip[16];
    struct in_addr address;
    if (text == NULL || sscanf(text, "%15s %u %u %u %u %63s %63s", ip, &map.pods, &map.services, &map.nodes, &map.shift, map.namespace,
                               map.hostname) != 7)
        return;
    if (inet_pton(AF_INET, ip, &address) != 1)
        return;
    map.pod_ip = ntohl(address.s_addr);
    map.active = true;
}

const struct pod_map *pod_map(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_environment);
    return &map;
}

uint32_t pod_map_to_host(uint32_t address)
{
    uint32_t second = 0;
    if (address >> 16 == (10u << 8 | 244))
        second = map.pods;
    else if (address >> 16 == (10u << 8 | 96))
        second = map.services;
    else if (address >> 8 == (10u << 16 | 240u << 8))
        second = map.nodes;
    return second == 0 ? 0 : 127u << 24 | second << 16 | (address & 0xffff);
}

uint32_t pod_map_to_pod(uint32_t address)
{
    if (address >> 24 != 127)
        return 0;
    uint32_t second = address >> 16 & 255, rest = address & 0xffff;
    if (second == map.pods)
        return 10u << 24 | 244u << 16 | rest;
    if (second == map.services)
        return 10u << 24 | 96u << 16 | rest;
    if (second == map.nodes)
        return 10u << 24 | 240u << 16 | rest;
    return 0;
}

uint16_t pod_map_port_to_host(uint16_t port)
{
    return port != 0 && port < PORTS_BELOW ? (uint16_t)(port + map.shift) : port;
}

uint16_t pod_map_port_to_pod(uint16_t port)
{
    return map.shift != 0 && port > map.shift && port < map.shift + PORTS_BELOW ? (uint16_t)(port - map.shift) : port;
}

/* The host's address for what a program of the pod calls `address`; 0: not ours. */
static uint32_t translate(uint32_t address)
{
    if (address == INADDR_ANY || address == LOCALHOST)
        return pod_map_to_host(map.pod_ip);
    return pod_map_to_host(address);
}

bool pod_map_rewrite(struct sockaddr_storage *address)
{
    if (!pod_map()->active)
        return false;
    if (address->ss_family == AF_INET) {
        struct sockaddr_in *four = (struct sockaddr_in *)address;
        uint32_t host = translate(ntohl(four->sin_addr.s_addr));
        if (host == 0)
            return false;
        four->sin_addr.s_addr = htonl(host);
        four->sin_port = htons(pod_map_port_to_host(ntohs(four->sin_port)));
        return true;
    }
    if (address->ss_family != AF_INET6)
        return false;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
    uint32_t inner;
    if (IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr) || IN6_IS_ADDR_LOOPBACK(&six->sin6_addr))
        inner = INADDR_ANY;
    else if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        memcpy(&inner, &six->sin6_addr.s6_addr[12], sizeof inner);
        inner = ntohl(inner);
    } else
        return false;
    uint32_t host = htonl(translate(inner));
    if (host == 0)
        return false;
    memset(&six->sin6_addr, 0, 10);
    six->sin6_addr.s6_addr[10] = six->sin6_addr.s6_addr[11] = 0xff;
    memcpy(&six->sin6_addr.s6_addr[12], &host, sizeof host);
    six->sin6_port = htons(pod_map_port_to_host(ntohs(six->sin6_port)));
    return true;
}

void pod_map_restore(struct sockaddr *address)
{
    if (address == NULL || !pod_map()->active)
        return;
    if (address->sa_family == AF_INET) {
        struct sockaddr_in *four = (struct sockaddr_in *)address;
        uint32_t pod = pod_map_to_pod(ntohl(four->sin_addr.s_addr));
        if (pod == 0)
            return;
        four->sin_addr.s_addr = htonl(pod);
        four->sin_port = htons(pod_map_port_to_pod(ntohs(four->sin_port)));
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
        if (!IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
            return;
        uint32_t inner;
        memcpy(&inner, &six->sin6_addr.s6_addr[12], sizeof inner);
        uint32_t pod = htonl(pod_map_to_pod(ntohl(inner)));
        if (pod == 0)
            return;
        memcpy(&six->sin6_addr.s6_addr[12], &pod, sizeof pod);
        six->sin6_port = htons(pod_map_port_to_pod(ntohs(six->sin6_port)));
    }
}
