#define _GNU_SOURCE
#include "file_view.h"

#include "fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Directories with programs and libraries; symbolic links among them are copied as links. */
static const char *const program_directories[] = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "nix", "gnu"};

/* Where directories of the host are bound whose own place is taken by a directory of links to them. */
#define LINKED_DIRECTORIES "/.host"

/* Entries of the host's /etc that a pod has of its own, or must not see. */
static const char *const own_or_secret[] = {"resolv.conf", "hosts",    "hostname", "nsswitch.conf", "mtab",      "shadow",
                                            "shadow-",     "gshadow",  "gshadow-", "sudoers",       "sudoers.d", "ssh",
                                            "machine-id",  "fstab",    "security", "cron.d",        "crontab",   "kubernetes"};

static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};

/* `root` + `path`; the result is valid until the next call. */
static const char *inside(const struct spec *spec, const char *path)
{
    static char full[PATH_MAX];
    if (snprintf(full, sizeof full, "%s%s", spec->root, path) >= (int)sizeof full)
        fail("path too long: %s", path);
    return full;
}

/* mkdir -p; a path that exists as anything is fine. */
static int make_directories(const char *path)
{
    char partial[PATH_MAX];
    snprintf(partial, sizeof partial, "%s/", path);
    for (char *slash = strchr(partial + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(partial, 0755) < 0 && errno != EEXIST)
            return -1;
        *slash = '/';
    }
    return 0;
}

static void make_directory(const struct spec *spec, const char *path, mode_t mode)
{
    if (make_directories(inside(spec, path)) < 0 || chmod(inside(spec, path), mode) < 0)
        fail("make directory %s", path);
}

/* A file or directory to mount on, with the directories above it. */
static int make_mount_point(const char *path, bool is_directory)
{
    char parent[PATH_MAX];
    if (is_directory)
        return make_directories(path);
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = '\0';
    if (make_directories(parent) < 0)
        return -1;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd < 0 ? -1 : close(fd);
}

/* Kernels before 5.12 have no mount_setattr; there the mount itself (not what is mounted below it) becomes read-only. */
static int make_read_only(const char *path)
{
#ifdef SYS_mount_setattr
    struct {
        unsigned long long set, clear, propagation, userns_fd;
    } attributes = {.set = 1 /* MOUNT_ATTR_RDONLY */};
    if (syscall(SYS_mount_setattr, AT_FDCWD, path, 0x8000 /* AT_RECURSIVE */, &attributes, sizeof attributes) == 0)
        return 0;
    if (errno != ENOSYS)
        return -1;
#endif
    /* Flags that the host's mount has must be named again, else the kernel refuses inside a user namespace. */
    struct statvfs now;
    if (statvfs(path, &now) < 0)
        return -1;
    unsigned long flags = 0;
    flags |= (now.f_flag & ST_NOSUID) ? MS_NOSUID : 0;
    flags |= (now.f_flag & ST_NODEV) ? MS_NODEV : 0;
    flags |= (now.f_flag & ST_NOEXEC) ? MS_NOEXEC : 0;
    flags |= (now.f_flag & ST_NOATIME) ? MS_NOATIME : 0;
    flags |= (now.f_flag & ST_NODIRATIME) ? MS_NODIRATIME : 0;
    flags |= (now.f_flag & ST_RELATIME) ? MS_RELATIME : 0;
    return mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | flags, NULL);
}

static bool is_own_or_secret(const char *name)
{
    for (size_t i = 0; i < sizeof own_or_secret / sizeof *own_or_secret; i++)
        if (strcmp(name, own_or_secret[i]) == 0)
            return true;
    return false;
}

/*
 * Makes the directory `path` (in the new root) writable without touching the host: a fresh directory takes its place, full of
 * links to its entries. One mount, where one per entry would be needed to get at the same.
 */
static void link_entries(const struct spec *spec, const char *source, const char *path, bool is_etc)
{
    static int count;
    char real[PATH_MAX], place[PATH_MAX], name[32], up[PATH_MAX] = "";
    snprintf(name, sizeof name, LINKED_DIRECTORIES "/%d", count++);
    make_directory(spec, name, 0755);
    snprintf(real, sizeof real, "%s", inside(spec, name));
    if (realpath(inside(spec, path), place) == NULL)
        fail("find %s", path);
    if (mount(source, real, NULL, MS_BIND | MS_REC, NULL) < 0 || make_read_only(real) < 0)
        fail("bind %s", path);
    if (mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0)
        fail("mount %s", path);
    /* Relative links: they must lead to the same files before and after this tree has become the root. */
    for (const char *step = place + strlen(spec->root); (step = strchr(step, '/')) != NULL; step++)
        strncat(up, "../", sizeof up - strlen(up) - 1);
    DIR *directory = opendir(real);
    if (directory == NULL)
        fail("read %s", path);
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        char link[PATH_MAX], target[PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || (is_etc && is_own_or_secret(entry->d_name)))
            continue;
        if (snprintf(link, sizeof link, "%s/%s", place, entry->d_name) >= (int)sizeof link ||
            snprintf(target, sizeof target, "%s%s/%s", up, name + 1, entry->d_name) >= (int)sizeof target || symlink(target, link) < 0)
            fail("make link %s/%s", path, entry->d_name);
    }
    closedir(directory);
}

/* The mount point lies in a read-only directory of the host: that directory, as deep down as it exists, becomes one of links. */
static void open_up(const struct spec *spec, const char *target)
{
    char parent[PATH_MAX], host[PATH_MAX];
    struct stat status;
    snprintf(parent, sizeof parent, "%s", target);
    do
        *strrchr(parent, '/') = '\0';
    while (parent[0] != '\0' && stat(inside(spec, parent), &status) < 0);
    if (parent[0] == '\0')
        fail("make mount point %s", target);
    snprintf(host, sizeof host, "%s", inside(spec, parent));
    link_entries(spec, host, parent, false);
}

static void bind_into(const struct spec *spec, const char *source, const char *target, bool read_only)
{
    struct stat status, existing;
    if (stat(source, &status) < 0)
        fail("mount source %s", source);
    const bool is_directory = S_ISDIR(status.st_mode);
    if (stat(inside(spec, target), &existing) < 0 && make_mount_point(inside(spec, target), is_directory) < 0) {
        if (errno != EROFS)
            fail("make mount point %s", target);
        open_up(spec, target);
        if (make_mount_point(inside(spec, target), is_directory) < 0)
            fail("make mount point %s", target);
    }
    const char *path = inside(spec, target);
    if (mount(source, path, NULL, MS_BIND | MS_REC, NULL) < 0)
        fail("mount %s at %s", source, target);
    if (read_only && make_read_only(path) < 0)
        fail("make the mount %s read-only", target);
}

static void bind_programs(const struct spec *spec)
{
    for (size_t i = 0; i < sizeof program_directories / sizeof *program_directories; i++) {
        char host[32], link[PATH_MAX];
        snprintf(host, sizeof host, "/%s", program_directories[i]);
        struct stat status;
        if (lstat(host, &status) < 0)
            continue;
        if (!S_ISLNK(status.st_mode)) {
            bind_into(spec, host, host, true);
            continue;
        }
        ssize_t length = readlink(host, link, sizeof link - 1);
        if (length < 0)
            fail("read link %s", host);
        link[length] = '\0';
        if (symlink(link, inside(spec, host)) < 0)
            fail("make link %s", host);
    }
}

static void link_etc(const struct spec *spec)
{
    make_directory(spec, "/etc", 0755);
    link_entries(spec, "/etc", "/etc", true);
    if (symlink("../proc/self/mounts", inside(spec, "/etc/mtab")) < 0)
        fail("make link /etc/mtab");
}

static void mount_devices(const struct spec *spec)
{
    make_directory(spec, "/dev", 0755);
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        char path[32];
        snprintf(path, sizeof path, "/dev/%s", devices[i]);
        if (access(path, F_OK) == 0)
            bind_into(spec, path, path, false);
    }
    make_directory(spec, "/dev/shm", 01777);
    make_directory(spec, "/dev/pts", 0755);
    if (mount("devpts", inside(spec, "/dev/pts"), "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620") < 0)
        fail("mount /dev/pts");
    if (symlink("pts/ptmx", inside(spec, "/dev/ptmx")) < 0 || symlink("/proc/self/fd", inside(spec, "/dev/fd")) < 0 ||
        symlink("/proc/self/fd/0", inside(spec, "/dev/stdin")) < 0 || symlink("/proc/self/fd/1", inside(spec, "/dev/stdout")) < 0 ||
        symlink("/proc/self/fd/2", inside(spec, "/dev/stderr")) < 0)
        fail("make links in /dev");
}

/* Where a container runtime hides parts of /proc or /sys, the kernel refuses fresh ones: then the host's are bound. */
static void mount_kernel_files(const struct spec *spec)
{
    make_directory(spec, "/proc", 0555);
    make_directory(spec, "/sys", 0555);
    if (mount("proc", inside(spec, "/proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        bind_into(spec, "/proc", "/proc", false);
    if (mount("sysfs", inside(spec, "/sys"), "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        bind_into(spec, "/sys", "/sys", true);
}

void file_view_enter(const struct spec *given)
{
    static char root[PATH_MAX];
    struct spec own = *given, *spec = &own;
    /* Without links in it, so that link_entries() can tell how deep it is. */
    if (realpath(given->root, root) == NULL)
        fail("find %s", given->root);
    own.root = root;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        fail("make mounts private");
    if (mount("tmpfs", spec->root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0)
        fail("mount the root of the file view");
    umask(022);
    bind_programs(spec);
    link_etc(spec);
    mount_kernel_files(spec);
    mount_devices(spec);
    make_directory(spec, "/tmp", 01777);
    make_directory(spec, "/var/tmp", 01777);
    make_directory(spec, "/var/log", 0755);
    make_directory(spec, "/var/lib", 0755);
    make_directory(spec, "/run", 0755);
    make_directory(spec, "/root", 0700);
    make_directory(spec, "/home", 0755);
    make_directory(spec, "/workspace", 0755);
    if (symlink("../run", inside(spec, "/var/run")) < 0)
        fail("make link /var/run");
    for (size_t i = 0; i < spec->mount_count; i++)
        bind_into(spec, spec->mounts[i].source, spec->mounts[i].target, spec->mounts[i].read_only);
    /* The old root ends up on top of the new one, from where it is taken off: no directory for it is needed. */
    if (chdir(spec->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        fail("change to the root of the file view");
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        fail("take the host's files away");
}
