#include "spec.h"

#include "fail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *grow(void *memory, size_t size)
{
    void *grown = realloc(memory, size);
    if (grown == NULL)
        fail("out of memory");
    return grown;
}

static char *read_all(int fd, size_t *size)
{
    char *text = NULL;
    size_t used = 0, capacity = 0;
    for (;;) {
        if (used == capacity)
            text = grow(text, capacity = capacity == 0 ? 16384 : capacity * 2);
        ssize_t got = read(fd, text + used, capacity - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            fail("read the spec");
        if (got == 0)
            break;
        used += (size_t)got;
    }
    errno = 0;
    if (used == 0 || text[used - 1] != '\0')
        fail("the spec is cut off");
    *size = used;
    return text;
}

struct words {
    char *next;
    char *end;
};

static char *take(struct words *words, const char *directive)
{
    errno = 0;
    if (words->next >= words->end)
        fail("the spec ends within \"%s\"", directive);
    char *word = words->next;
    words->next += strlen(word) + 1;
    return word;
}

/* Appends to a NULL-terminated list. */
static char **append(char **list, size_t *count, char *word)
{
    list = grow(list, (*count + 2) * sizeof *list);
    list[(*count)++] = word;
    list[*count] = NULL;
    return list;
}

struct spec spec_read(int fd)
{
    struct spec spec = {.cwd = "/"};
    size_t size, arguments = 0, variables = 0;
    struct words words = {.next = read_all(fd, &size)};
    words.end = words.next + size;
    spec.env = grow(NULL, sizeof *spec.env);
    spec.env[0] = NULL;
    while (words.next < words.end) {
        char *directive = take(&words, "");
        if (strcmp(directive, "owner") == 0)
            spec.owner = (pid_t)atoi(take(&words, directive));
        else if (strcmp(directive, "pause") == 0)
            spec.pause = (pid_t)atoi(take(&words, directive));
        else if (strcmp(directive, "join") == 0)
            spec.join = (pid_t)atoi(take(&words, directive));
        else if (strcmp(directive, "root") == 0)
            spec.root = take(&words, directive);
        else if (strcmp(directive, "mount") == 0) {
            spec.mounts = grow(spec.mounts, (spec.mount_count + 1) * sizeof *spec.mounts);
            struct mount *mount = &spec.mounts[spec.mount_count++];
            mount->read_only = strcmp(take(&words, directive), "ro") == 0;
            mount->source = take(&words, directive);
            mount->target = take(&words, directive);
        } else if (strcmp(directive, "cwd") == 0)
            spec.cwd = take(&words, directive);
        else if (strcmp(directive, "arg") == 0)
            spec.argv = append(spec.argv, &arguments, take(&words, directive));
        else if (strcmp(directive, "env") == 0)
            spec.env = append(spec.env, &variables, take(&words, directive));
        else if (strcmp(directive, "tty") == 0) {
            spec.tty = true;
            spec.columns = (unsigned short)atoi(take(&words, directive));
            spec.rows = (unsigned short)atoi(take(&words, directive));
        } else if (strcmp(directive, "tied") == 0)
            spec.tied = true;
        else if (strcmp(directive, "contain") == 0)
            spec.contain = true;
        else if (strcmp(directive, "relay") == 0)
            spec.relay = true;
        else
            fail("unknown directive \"%s\" in the spec", directive);
    }
    errno = 0;
    if (arguments == 0)
        fail("the spec names no program");
    return spec;
}
