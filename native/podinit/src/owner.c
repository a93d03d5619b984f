/*
 * podinit owner: makes the user and network namespace of one cluster and keeps them alive.
 *
 * It prints "ready" once the bridge and the local ranges exist, closes its output and sleeps. Killing it takes the cluster's
 * network away as soon as no pod is left in it.
 */
#define _GNU_SOURCE
#include "address_plan.h"
#include "commands.h"
#include "fail.h"
#include "namespace.h"
#include "netlink.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct in_addr address(const char *text)
{
    struct in_addr value;
    inet_pton(AF_INET, text, &value);
    return value;
}

int owner_command(int argc, char **argv)
{
    /* The one argument only marks the process as this cluster's in process listings. */
    if (argc != 2)
        fail("usage: podinit %s DIRECTORY", argv[0]);
    namespace_become_root();
    if (unshare(CLONE_NEWNET) < 0)
        fail("make a network namespace");
    int netlink = netlink_open();
    netlink_set_up(netlink, (int)if_nametoindex("lo"));
    netlink_add_bridge(netlink, BRIDGE_NAME, address(BRIDGE_ADDRESS));
    int bridge = (int)if_nametoindex(BRIDGE_NAME);
    netlink_add_address(netlink, bridge, address(BRIDGE_ADDRESS), POD_PREFIX_LENGTH);
    netlink_set_up(netlink, bridge);
    int loopback = (int)if_nametoindex("lo");
    netlink_add_local_range(netlink, loopback, address(SERVICE_NETWORK), SERVICE_PREFIX_LENGTH);
    netlink_add_local_range(netlink, loopback, address(NODE_NETWORK), NODE_PREFIX_LENGTH);
    close(netlink);
    if (printf("ready\n") < 0 || fflush(stdout) != 0)
        return 1;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2; fd++)
        dup2(null, fd);
    if (chdir("/") < 0)
        return 1;
    for (;;)
        pause();
}
