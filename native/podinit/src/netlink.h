/* The few rtnetlink requests a pod network needs. Every call fails the program on error unless it returns a value. */
#ifndef PODINIT_NETLINK_H
#define PODINIT_NETLINK_H

#include <netinet/in.h>

/* A routing socket of the network namespace this process is in now; it stays in that namespace for ever. */
int netlink_open(void);

void netlink_add_bridge(int fd, const char *name, struct in_addr address);

/*
 * Makes a pair of connected interfaces: `name` here, attached to the bridge, and `peer` in the namespace `peer_netns`.
 * The peer's hardware address is made from its IP, so that a reused IP needs no new ARP entry anywhere.
 */
void netlink_add_veth(int fd, const char *name, int bridge_index, const char *peer, struct in_addr peer_address, int peer_netns);

void netlink_set_up(int fd, int index);
void netlink_add_address(int fd, int index, struct in_addr address, int prefix_length);

/* Makes every address of the range local ("AnyIP"), so that a program can listen on any of them. */
void netlink_add_local_range(int fd, int index, struct in_addr network, int prefix_length);

void netlink_add_default_route(int fd, struct in_addr gateway);

/* 0, or an errno value. */
int netlink_delete(int fd, const char *name);

#endif
