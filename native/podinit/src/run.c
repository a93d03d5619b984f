/*
 * podinit run: starts one program in a pod and stays as its parent.
 *
 * Arguments: DIRECTORY (marks the process as the pod's in process listings) and EXIT_FILE ("-": none).
 * fd 3: the spec (spec.h). fd 4: reports to the agent, lines: "started PID", "exit CODE SIGNAL", or "error MESSAGE".
 * fd 5: terminal sizes.
 *
 * Container:  agent -> run (host) -> init (first process of a new process and mount namespace) -> program
 * Exec:       agent -> run (host) -> program, in the namespaces of a container that runs already
 * No namespaces (loopback driver): agent -> run -> program
 */
#define _GNU_SOURCE
#include "commands.h"
#include "control.h"
#include "exit_record.h"
#include "fail.h"
#include "file_view.h"
#include "namespace.h"
#include "program.h"
#include "spec.h"
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SPEC_FD = 3, STATUS_FD = 4, RESIZE_FD = 5 };

static void report(const char *text)
{
    /* An agent that died does not read any more; the exit record is for its successor. */
    if (write(STATUS_FD, text, strlen(text)) < 0)
        return;
}

/* All handles are opened before the first change: after entering a namespace /proc may be another one. */
static void enter_pod(const struct spec *spec)
{
    static const char *const kinds[] = {"net", "uts", "ipc", "pid", "mnt"};
    pid_t pid = spec->join != 0 ? spec->join : spec->pause;
    int count = spec->join != 0 ? 5 : 4, handles[5];
    for (int i = 0; i < count; i++)
        handles[i] = namespace_open(pid, kinds[i]);
    namespace_enter(spec->owner, "user");
    for (int i = 0; i < count; i++) {
        if (setns(handles[i], 0) < 0)
            fail("enter the pod's %s namespace", kinds[i]);
        close(handles[i]);
    }
}

/* The container's init: prepares the file view, starts the program, passes signals on, ends when the program has. */
static void container_init(const struct spec *spec, struct program_io io, int control, int errors)
{
    struct message go;
    /* The far ends are for the parent alone: a second holder would hide their closing. */
    for (int i = 0; i < CHANNEL_COUNT && io.in >= 0; i++)
        close(io.far_ends[i]);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        fail("prctl");
    control_send(control, (struct message){.kind = MESSAGE_HELLO}, -1);
    if (!control_receive(control, &go, NULL, NULL))
        _exit(125);
    if (unshare(CLONE_NEWNS) < 0)
        fail("make a mount namespace");
    file_view_enter(spec);
    pid_t program = fork();
    if (program < 0)
        fail("fork");
    if (program == 0)
        program_exec(spec, io, control);
    close(errors);
    fail_fd = STDERR_FILENO;
    /* The program alone holds its pipes, so that their ends are noticed. */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2; fd++)
        dup2(null, fd);
    if (io.in >= 0) {
        close(io.in);
        close(io.out);
        close(io.error);
    }
    struct supervision supervision = {.child = program, .to_group = 1, .resize = -1, .master = -1};
    for (int i = 0; i < CHANNEL_COUNT; i++)
        supervision.channels[i].from = supervision.channels[i].to = -1;
    int status = supervise(&supervision);
    control_send(control, (struct message){.kind = MESSAGE_STATUS, .status = status}, -1);
    _exit(0);
}

/*
 * A process that entered another process namespace must fork once to be in it before it can make one inside it. The
 * step in between hands its child over to us (CLONE_PARENT) and is gone.
 */
static void fork_container(const struct spec *spec, struct program_io io, int control, int errors)
{
    pid_t step = fork();
    if (step < 0)
        fail("fork");
    if (step > 0) {
        waitpid(step, NULL, 0);
        return;
    }
    if (unshare(CLONE_NEWPID) < 0)
        fail("make a process namespace");
    long init = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
    if (init < 0)
        fail("clone");
    if (init == 0)
        container_init(spec, io, control, errors);
    _exit(0);
}

static void fork_program(const struct spec *spec, struct program_io io, int control)
{
    pid_t program = fork();
    if (program < 0)
        fail("fork");
    if (program > 0)
        return;
    struct message go;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        fail("prctl");
    control_send(control, (struct message){.kind = MESSAGE_HELLO}, -1);
    if (!control_receive(control, &go, NULL, NULL))
        _exit(125);
    program_exec(spec, io, control);
}

/* Waits until the program was exec'ed (all write ends closed) or somebody reported why not. */
static void await_start(int errors)
{
    char text[1024];
    size_t used = 0;
    ssize_t got;
    while (used < sizeof text && (got = read(errors, text + used, sizeof text - used)) != 0) {
        if (got < 0 && errno != EINTR)
            fail("read the start report");
        used += got > 0 ? (size_t)got : 0;
    }
    close(errors);
    if (used == 0)
        return;
    if (write(STATUS_FD, text, used) < 0)
        _exit(124);
    _exit(125);
}

/*
 * A subreaper gets the orphans of everything below it as its own children. What a process namespace would do at once takes
 * as many turns here as the tree is deep.
 */
static void end_descendants(void)
{
    char path[64], pids[4096];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    for (;;) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t size = fd < 0 ? 0 : read(fd, pids, sizeof pids - 1);
        if (fd >= 0)
            close(fd);
        if (size <= 0)
            return;
        pids[size] = '\0';
        for (char *next = pids, *end; (end = strchr(next, ' ')) != NULL; next = end + 1)
            kill((pid_t)atoi(next), SIGKILL);
        if (waitpid(-1, NULL, 0) < 0 && errno != EINTR)
            return;
    }
}

static void open_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) < 0)
        fail("pipe");
}

int run_command(int argc, char **argv)
{
    if (argc != 3)
        fail("usage: podinit %s DIRECTORY EXIT_FILE", argv[0]);
    fail_fd = STATUS_FD;
    fcntl(STATUS_FD, F_SETFD, FD_CLOEXEC);
    struct spec spec = spec_read(SPEC_FD);
    close(SPEC_FD);
    if (spec.tty)
        fcntl(RESIZE_FD, F_SETFD, FD_CLOEXEC);
    if (spec.tied && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        fail("prctl");
    if (spec.contain && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        fail("prctl");
    supervise_prepare();
    int control[2], errors[2], in[2] = {-1, -1}, out[2] = {-1, -1}, error[2] = {-1, -1};
    control_open(control);
    open_pipe(errors);
    if (spec.relay && !spec.tty) {
        open_pipe(in);
        open_pipe(out);
        open_pipe(error);
    }
    struct program_io io = {.in = in[0], .out = out[1], .error = error[1], .far_ends = {in[1], out[0], error[0]}};
    if (spec.owner != 0)
        enter_pod(&spec);
    fail_fd = errors[1];
    if (spec.owner != 0 && spec.join == 0)
        fork_container(&spec, io, control[1], errors[1]);
    else
        fork_program(&spec, io, control[1]);
    fail_fd = STATUS_FD;
    close(control[1]);
    close(errors[1]);
    if (io.in >= 0) {
        close(io.in);
        close(io.out);
        close(io.error);
    }

    struct message message;
    pid_t child = 0;
    int master = -1;
    if (control_receive(control[0], &message, &child, NULL))
        control_send(control[0], (struct message){.kind = MESSAGE_GO}, -1);
    await_start(errors[0]);
    if (child == 0)
        fail("the program's first process died");
    if (spec.tty && (!control_receive(control[0], &message, NULL, &master) || master < 0))
        fail("the program's terminal did not arrive");
    char line[64];
    snprintf(line, sizeof line, "started %d\n", (int)child);
    report(line);

    struct supervision supervision = {
        .child = child,
        .to_group = spec.owner == 0 || spec.join != 0,
        .channels = {{.from = -1, .to = -1}, {.from = -1, .to = -1}, {.from = -1, .to = -1}},
        .resize = spec.tty ? RESIZE_FD : -1,
        .master = master,
    };
    if (spec.tty) {
        supervision.channels[CHANNEL_IN] = (struct channel){.from = STDIN_FILENO, .to = fcntl(master, F_DUPFD_CLOEXEC, 0), .terminal = 1};
        supervision.channels[CHANNEL_OUT] = (struct channel){.from = master, .to = STDOUT_FILENO};
    } else if (spec.relay) {
        supervision.channels[CHANNEL_IN] = (struct channel){.from = STDIN_FILENO, .to = in[1]};
        supervision.channels[CHANNEL_OUT] = (struct channel){.from = out[0], .to = STDOUT_FILENO};
        supervision.channels[CHANNEL_ERROR] = (struct channel){.from = error[0], .to = STDERR_FILENO};
    }
    int status = supervise(&supervision);
    if (spec.contain)
        end_descendants();
    /* The init's own status says nothing of the program's; without its report it was killed with everything else. */
    if (spec.owner != 0 && spec.join == 0 && control_receive(control[0], &message, NULL, NULL))
        status = message.status;
    if (strcmp(argv[2], "-") != 0)
        exit_record_write(argv[2], status);
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    int code = signal != 0 ? 128 + signal : WEXITSTATUS(status);
    snprintf(line, sizeof line, "exit %d %d\n", code, signal);
    report(line);
    return code;
}
