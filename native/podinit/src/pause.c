/*
 * podinit pause: makes one pod's sandbox and keeps it alive.
 *
 * The sandbox is a network namespace with eth0 on the cluster's bridge, the pod's host name, and a process namespace whose
 * first process is this one: killing it makes the kernel kill every container of the pod.
 * Prints "ready PID" with the host's pid of that first process, which goes on alone.
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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void make_network(const char *interface, const char *ip)
{
    struct in_addr address, gateway;
    if (inet_pton(AF_INET, ip, &address) != 1)
        fail("not an IPv4 address: %s", ip);
    inet_pton(AF_INET, BRIDGE_ADDRESS, &gateway);
    int cluster = netlink_open();
    int bridge = (int)if_nametoindex(BRIDGE_NAME);
    if (bridge == 0)
        fail("find the bridge " BRIDGE_NAME);
    if (unshare(CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) < 0)
        fail("make the pod's namespaces");
    int own_netns = namespace_open(getpid(), "net");
    /* What an agent that died half-way left behind. */
    netlink_delete(cluster, interface);
    netlink_add_veth(cluster, interface, bridge, "eth0", address, own_netns);
    int pod = netlink_open();
    int eth0 = (int)if_nametoindex("eth0");
    netlink_set_up(pod, (int)if_nametoindex("lo"));
    netlink_add_address(pod, eth0, address, POD_PREFIX_LENGTH);
    netlink_set_up(pod, eth0);
    netlink_add_default_route(pod, gateway);
    close(pod);
    close(cluster);
    close(own_netns);
}

/* Containers that were joined to this process namespace become its children when their parents end. */
static void reap_forever(void)
{
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    for (;;) {
        sigwaitinfo(&children, NULL);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

int pause_command(int argc, char **argv)
{
    if (argc != 6)
        fail("usage: podinit %s DIRECTORY OWNER_PID INTERFACE IP HOSTNAME", argv[0]);
    pid_t owner = (pid_t)atoi(argv[2]);
    int netns = namespace_open(owner, "net");
    namespace_enter(owner, "user");
    if (setns(netns, CLONE_NEWNET) < 0)
        fail("enter the cluster's network");
    close(netns);
    make_network(argv[3], argv[4]);
    if (sethostname(argv[5], strlen(argv[5])) < 0)
        fail("set the host name");
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    if (unshare(CLONE_NEWPID) < 0)
        fail("make a process namespace");
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child > 0) {
        if (printf("ready %d\n", (int)child) < 0 || fflush(stdout) != 0)
            return 1;
        return 0;
    }
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2; fd++)
        dup2(null, fd);
    if (chdir("/") < 0)
        return 1;
    reap_forever();
    return 0;
}
