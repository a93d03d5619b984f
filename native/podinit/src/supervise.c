#define _GNU_SOURCE
#include "supervise.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUFFER_SIZE 65536

/* Faults of our own must stay deadly. */
static void watched_signals(sigset_t *set)
{
    static const int ours[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
    sigfillset(set);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        sigdelset(set, ours[i]);
}

void supervise_prepare(void)
{
    sigset_t set;
    watched_signals(&set);
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
        fail("block signals");
}

void supervise_restore_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void stop_channel(struct channel *channel)
{
    if (channel->from >= 0)
        close(channel->from);
    if (channel->to >= 0)
        close(channel->to);
    channel->from = channel->to = -1;
    channel->start = channel->end = 0;
}

static void fill(struct channel *channel)
{
    ssize_t got = read(channel->from, channel->buffer, BUFFER_SIZE);
    if (got > 0) {
        channel->start = 0;
        channel->end = (size_t)got;
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        /* A terminal master reports EIO when the last program has closed the other side. */
        if (channel->terminal) {
            close(channel->from);
            channel->from = -1;
            channel->buffer[0] = 4; /* end of file, typed */
            channel->start = 0;
            channel->end = 1;
        } else
            stop_channel(channel);
    }
}

static void drain(struct channel *channel)
{
    ssize_t put = write(channel->to, channel->buffer + channel->start, channel->end - channel->start);
    if (put >= 0)
        channel->start += (size_t)put;
    else if (errno != EAGAIN && errno != EINTR)
        stop_channel(channel);
}

static void resize(struct supervision *supervision)
{
    char text[64];
    ssize_t got = read(supervision->resize, text, sizeof text - 1);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            supervision->resize = -1;
        return;
    }
    text[got] = '\0';
    struct winsize size = {0};
    if (sscanf(text, "%hu %hu", &size.ws_col, &size.ws_row) == 2)
        ioctl(supervision->master, TIOCSWINSZ, &size);
}

/* Reads pending signals; returns 1 when the child has ended. */
static int take_signals(int fd, struct supervision *supervision, int *status)
{
    struct signalfd_siginfo signal;
    int ended = 0;
    while (read(fd, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        if (signal.ssi_signo == SIGCHLD) {
            int stray;
            pid_t pid;
            while ((pid = waitpid(-1, &stray, WNOHANG)) > 0)
                if (pid == supervision->child) {
                    *status = stray;
                    ended = 1;
                }
        } else if (!ended && signal.ssi_signo != SIGPIPE)
            kill(supervision->to_group ? -supervision->child : supervision->child, (int)signal.ssi_signo);
    }
    return ended;
}

static void open_channels(struct supervision *supervision)
{
    for (int i = 0; i < CHANNEL_COUNT; i++) {
        struct channel *channel = &supervision->channels[i];
        if (channel->from < 0)
            continue;
        fcntl(channel->from, F_SETFL, fcntl(channel->from, F_GETFL) | O_NONBLOCK);
        fcntl(channel->to, F_SETFL, fcntl(channel->to, F_GETFL) | O_NONBLOCK);
        channel->buffer = malloc(BUFFER_SIZE);
        if (channel->buffer == NULL)
            fail("out of memory");
    }
    if (supervision->resize >= 0)
        fcntl(supervision->resize, F_SETFL, O_NONBLOCK);
}

static int output_pending(const struct supervision *supervision)
{
    for (int i = CHANNEL_OUT; i < CHANNEL_COUNT; i++)
        if (supervision->channels[i].start < supervision->channels[i].end)
            return 1;
    return 0;
}

int supervise(struct supervision *supervision)
{
    sigset_t set;
    watched_signals(&set);
    int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        fail("signalfd");
    open_channels(supervision);
    int status = 0, ended = 0;
    for (;;) {
        struct pollfd polled[CHANNEL_COUNT + 2];
        for (int i = 0; i < CHANNEL_COUNT; i++) {
            struct channel *channel = &supervision->channels[i];
            int full = channel->start < channel->end;
            /* A stopped channel has fd -1, which poll() skips. */
            polled[i] = full ? (struct pollfd){.fd = channel->to, .events = POLLOUT} : (struct pollfd){.fd = channel->from, .events = POLLIN};
        }
        polled[CHANNEL_COUNT] = (struct pollfd){.fd = signals, .events = POLLIN};
        polled[CHANNEL_COUNT + 1] = (struct pollfd){.fd = supervision->resize, .events = POLLIN};
        /* After the end, whatever a surviving background process may still print is not waited for. */
        int ready = poll(polled, CHANNEL_COUNT + 2, ended && !output_pending(supervision) ? 0 : -1);
        if (ready < 0 && errno != EINTR)
            fail("poll");
        if (ended && polled[CHANNEL_OUT].revents == 0 && polled[CHANNEL_ERROR].revents == 0)
            break;
        for (int i = 0; i < CHANNEL_COUNT; i++) {
            struct channel *channel = &supervision->channels[i];
            if (polled[i].revents == 0)
                continue;
            if (channel->start < channel->end)
                drain(channel);
            else
                fill(channel);
        }
        if (polled[CHANNEL_COUNT].revents != 0 && take_signals(signals, supervision, &status)) {
            ended = 1;
            stop_channel(&supervision->channels[CHANNEL_IN]);
        }
        if (polled[CHANNEL_COUNT + 1].revents != 0)
            resize(supervision);
    }
    close(signals);
    return status;
}
