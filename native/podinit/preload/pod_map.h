/*
 * The loopback driver's address map: a pod's 10.a.b.c is this machine's 127.x.b.c.
 *
 * DYNAMO_LABS_LOOPBACK = "POD_IP PODS SERVICES NODES SHIFT NAMESPACE HOSTNAME", e.g. "10.244.1.2 64 65 66 61000 default web-0":
 * second bytes for 10.244/16, 10.96/16 and 10.240.0/24, and what is added to ports below 1024 (0: the process may bind them).
 * Without it the library does nothing.
 */
#ifndef POD_MAP_H
#define POD_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct pod_map {
    bool active;
    uint32_t pod_ip; /* host byte order, like all addresses here */
    uint32_t pods, services, nodes;
    unsigned shift;
    char namespace[64];
    char hostname[64];
};

const struct pod_map *pod_map(void);

/* The address of this machine behind one of the pod network; 0 if it is not one. */
uint32_t pod_map_to_host(uint32_t address);

/* The pod network's name for an address of this machine; 0 if it has none. */
uint32_t pod_map_to_pod(uint32_t address);

uint16_t pod_map_port_to_host(uint16_t port);
uint16_t pod_map_port_to_pod(uint16_t port);

/*
 * Rewrites an address a program gives (`own`: the wildcard and localhost, too, mean the pod's own address). Returns true
 * if it now is one of the pod network. IPv6 addresses are handled where they carry IPv4 ones, and ::, ::1.
 */
bool pod_map_rewrite(struct sockaddr_storage *address);

/* Rewrites an address the kernel gives. */
void pod_map_restore(struct sockaddr *address);

#endif
