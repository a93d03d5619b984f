#ifndef PODINIT_EXIT_RECORD_H
#define PODINIT_EXIT_RECORD_H

/*
 * Writes {"exitCode","signal","finishedAt"} for a wait status to `path`, complete or not at all (written beside, synced,
 * renamed): an agent that was not there when the program ended reads it later.
 */
void exit_record_write(const char *path, int wait_status);

#endif
