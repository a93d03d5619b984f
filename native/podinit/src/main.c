/*
 * podinit: the node agent's hands in the kernel. Node.js can neither enter namespaces nor mount nor pass sockets; these
 * subcommands do, and nothing else. The node agent (backend/src/nodeagent/podnet) is their only caller.
 */
#include "commands.h"
#include "fail.h"

#include <signal.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*command)(int, char **);
    } commands[] = {{"owner", owner_command}, {"pause", pause_command}, {"run", run_command}, {"door", door_command}};
    signal(SIGPIPE, SIG_IGN);
    if (argc >= 2)
        for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++)
            if (strcmp(argv[1], commands[i].name) == 0)
                return commands[i].command(argc - 1, argv + 1);
    fail("usage: podinit owner|pause|run|door …");
}
