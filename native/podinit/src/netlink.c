#define _GNU_SOURCE
#include "netlink.h"

#include "fail.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One request: header, the family's own header, attributes. */
struct request {
    struct nlmsghdr header;
    char body[512];
};

int netlink_open(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        fail("open a routing socket");
    return fd;
}

static void *begin(struct request *request, uint16_t type, uint16_t flags, size_t family_header)
{
    memset(request, 0, sizeof *request);
    request->header.nlmsg_type = type;
    request->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    request->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(family_header);
    return request->body;
}

static struct rtattr *put(struct request *request, uint16_t type, const void *data, size_t size)
{
    struct rtattr *attribute = (struct rtattr *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = (uint16_t)RTA_LENGTH(size);
    if (size > 0)
        memcpy(RTA_DATA(attribute), data, size);
    request->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
    return attribute;
}

static void end_nest(struct request *request, struct rtattr *nest)
{
    nest->rta_len = (uint16_t)((char *)request + request->header.nlmsg_len - (char *)nest);
}

/* Sends and waits for the acknowledgement: 0 or an errno value. */
static int exchange(int fd, struct request *request)
{
    if (send(fd, request, request->header.nlmsg_len, 0) < 0)
        return errno;
    char answer[1024] __attribute__((aligned(8)));
    ssize_t size = recv(fd, answer, sizeof answer, 0);
    if (size < 0)
        return errno;
    struct nlmsghdr *header = (struct nlmsghdr *)answer;
    if ((size_t)size < sizeof *header || header->nlmsg_type != NLMSG_ERROR)
        return EPROTO;
    return -((struct nlmsgerr *)NLMSG_DATA(header))->error;
}

static void must(int fd, struct request *request, const char *what, const char *name)
{
    errno = exchange(fd, request);
    if (errno != 0)
        fail("%s %s", what, name);
}

/* 02:42 marks a locally administered address (Docker's habit), the IP makes it unique. */
static void put_hardware_address(struct request *request, struct in_addr address)
{
    unsigned char mac[6] = {0x02, 0x42};
    memcpy(mac + 2, &address, 4);
    put(request, IFLA_ADDRESS, mac, sizeof mac);
}

void netlink_add_bridge(int fd, const char *name, struct in_addr address)
{
    struct request request;
    begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    put(&request, IFLA_IFNAME, name, strlen(name) + 1);
    /* A bridge without an address of its own takes that of a port, and changes it as pods come and go. */
    put_hardware_address(&request, address);
    struct rtattr *info = put(&request, IFLA_LINKINFO, NULL, 0);
    put(&request, IFLA_INFO_KIND, "bridge", 6);
    end_nest(&request, info);
    must(fd, &request, "add bridge", name);
}

void netlink_add_veth(int fd, const char *name, int bridge_index, const char *peer, struct in_addr peer_address, int peer_netns)
{
    struct request request;
    struct ifinfomsg *link = begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof *link);
    link->ifi_flags = link->ifi_change = IFF_UP;
    uint32_t master = (uint32_t)bridge_index;
    put(&request, IFLA_IFNAME, name, strlen(name) + 1);
    put(&request, IFLA_MASTER, &master, sizeof master);
    struct rtattr *info = put(&request, IFLA_LINKINFO, NULL, 0);
    put(&request, IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = put(&request, IFLA_INFO_DATA, NULL, 0);
    struct ifinfomsg peer_link = {0};
    struct rtattr *peer_info = put(&request, VETH_INFO_PEER, &peer_link, sizeof peer_link);
    uint32_t netns = (uint32_t)peer_netns;
    put(&request, IFLA_IFNAME, peer, strlen(peer) + 1);
    put_hardware_address(&request, peer_address);
    put(&request, IFLA_NET_NS_FD, &netns, sizeof netns);
    end_nest(&request, peer_info);
    end_nest(&request, data);
    end_nest(&request, info);
    must(fd, &request, "add interface pair", name);
}

void netlink_set_up(int fd, int index)
{
    struct request request;
    struct ifinfomsg *link = begin(&request, RTM_NEWLINK, 0, sizeof *link);
    link->ifi_index = index;
    link->ifi_flags = link->ifi_change = IFF_UP;
    must(fd, &request, "set up", "interface");
}

void netlink_add_address(int fd, int index, struct in_addr address, int prefix_length)
{
    struct request request;
    struct ifaddrmsg *message = begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *message);
    message->ifa_family = AF_INET;
    message->ifa_prefixlen = (uint8_t)prefix_length;
    message->ifa_index = (uint32_t)index;
    put(&request, IFA_LOCAL, &address, sizeof address);
    put(&request, IFA_ADDRESS, &address, sizeof address);
    must(fd, &request, "add address", "");
}

void netlink_add_local_range(int fd, int index, struct in_addr network, int prefix_length)
{
    struct request request;
    struct rtmsg *route = begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof *route);
    route->rtm_family = AF_INET;
    route->rtm_dst_len = (uint8_t)prefix_length;
    route->rtm_table = RT_TABLE_LOCAL;
    route->rtm_protocol = RTPROT_BOOT;
    route->rtm_scope = RT_SCOPE_HOST;
    route->rtm_type = RTN_LOCAL;
    uint32_t output = (uint32_t)index;
    put(&request, RTA_DST, &network, sizeof network);
    put(&request, RTA_OIF, &output, sizeof output);
    must(fd, &request, "add local route", "");
}

void netlink_add_default_route(int fd, struct in_addr gateway)
{
    struct request request;
    struct rtmsg *route = begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof *route);
    route->rtm_family = AF_INET;
    route->rtm_table = RT_TABLE_MAIN;
    route->rtm_protocol = RTPROT_BOOT;
    route->rtm_scope = RT_SCOPE_UNIVERSE;
    route->rtm_type = RTN_UNICAST;
    put(&request, RTA_GATEWAY, &gateway, sizeof gateway);
    must(fd, &request, "add default route", "");
}

int netlink_delete(int fd, const char *name)
{
    struct request request;
    begin(&request, RTM_DELLINK, 0, sizeof(struct ifinfomsg));
    put(&request, IFLA_IFNAME, name, strlen(name) + 1);
    return exchange(fd, &request);
}
