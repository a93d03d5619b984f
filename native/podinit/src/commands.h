/* The subcommands; each gets its own arguments (argv[0] is the subcommand) and returns the exit code. */
#ifndef PODINIT_COMMANDS_H
#define PODINIT_COMMANDS_H

int owner_command(int argc, char **argv);
int pause_command(int argc, char **argv);
int run_command(int argc, char **argv);
int door_command(int argc, char **argv);

#endif
