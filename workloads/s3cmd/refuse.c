/* A file layer that cannot truncate: every call that would cut a file short below $REFUSE_BELOW fails with EINVAL.
 *
 *     cc -shared -fPIC -o refuse.so refuse.c -ldl
 *     REFUSE_BELOW=/some/dir LD_PRELOAD=$PWD/refuse.so s3cmd ...
 *
 * Opening a file that is not there, or without O_TRUNC, goes through, as it does on the file systems that this stands
 * for. Each refusal is a line on standard error, so that a caller can tell that it was asked. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int below(const char *path) {
    const char *root = getenv("REFUSE_BELOW");
    char full[PATH_MAX];
    return root && *root && realpath(path, full) && strncmp(full, root, strlen(root)) == 0;
}

static int fd_below(int fd) {
    char link[64], target[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, target, sizeof target - 1);
    if (size < 0)
        return 0;
    target[size] = '\0';
    return below(target);
}

static int refuse(const char *call) {
    dprintf(STDERR_FILENO, "refused: %s\n", call);
    errno = EINVAL;
    return -1;
}

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = va_arg(rest, mode_t);                                                                            \
        va_end(rest);                                                                                                  \
        if ((flags & O_TRUNC) && below(path))                                                                          \
            return refuse("open with O_TRUNC");                                                                        \
        return NEXT(int (*)(const char *, int, ...), #name)(path, flags, mode);                                        \
    }

#define OPENAT(name)                                                                                                   \
    int name(int dir, const char *path, int flags, ...) {                                                              \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = va_arg(rest, mode_t);                                                                            \
        va_end(rest);                                                                                                  \
        if ((flags & O_TRUNC) && (dir == AT_FDCWD || *path == '/') && below(path))                                     \
            return refuse("openat with O_TRUNC");                                                                      \
        return NEXT(int (*)(int, const char *, int, ...), #name)(dir, path, flags, mode);                              \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

/* The C library opens by itself here, not through open() above. */
#define FOPEN(name)                                                                                                    \
    FILE *name(const char *path, const char *mode) {                                                                   \
        if (*mode == 'w' && below(path)) {                                                                             \
            refuse("fopen for writing");                                                                               \
            return NULL;                                                                                               \
        }                                                                                                              \
        return NEXT(FILE * (*)(const char *, const char *), #name)(path, mode);                                        \
    }

FOPEN(fopen)
FOPEN(fopen64)

int ftruncate(int fd, off_t size) {
    return fd_below(fd) ? refuse("ftruncate") : NEXT(int (*)(int, off_t), "ftruncate")(fd, size);
}

int ftruncate64(int fd, off64_t size) {
    return fd_below(fd) ? refuse("ftruncate") : NEXT(int (*)(int, off64_t), "ftruncate64")(fd, size);
}

int truncate(const char *path, off_t size) {
    return below(path) ? refuse("truncate") : NEXT(int (*)(const char *, off_t), "truncate")(path, size);
}

int truncate64(const char *path, off64_t size) {
    return below(path) ? refuse("truncate") : NEXT(int (*)(const char *, off64_t), "truncate64")(path, size);
}
