/* A disk that fails, or a machine that dies, at a chosen write. Loaded with LD_PRELOAD by benchmarks/faults.py.
 *
 * Counts every call that changes something below $FAULT_ROOT, in all processes that share the file $FAULT_CONTROL
 * (struct control, also known to disk.py). At call number `at` it either kills the whole process group, a write being
 * half done, or fails with `error`, or stops the group until someone lets it go on; with `lasting` every later call
 * fails too, as on a disk that stays full. Calls that only take away (unlink, rmdir) are not counted: a full disk
 * allows them, nor are the lines of a run's log, which would be most of them. stdio is covered, since libc's own writes
 * pass no symbol. What does not live here: what is right afterwards.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, KILL, FAIL, HOLD };
struct control {
    uint64_t count, at;
    int32_t action, error, lasting, group;
    char where[488];
};
static struct control *control;
static char root[4096];
static size_t root_length;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("FAULT_CONTROL"), *folder = getenv("FAULT_ROOT");
    int handle = file && folder ? open(file, O_RDWR | O_CLOEXEC) : -1;
    if (handle < 0) return;
    void *page = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    close(handle);
    if (page == MAP_FAILED) return;
    root_length = strlen(folder);
    memcpy(root, folder, root_length + 1);
    control = page;
}

static int below(const char *path) {
    return control && path && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* The absolute path of `path`, looked up from folder `at` unless absolute. */
static const char *full(int at, const char *path, char *space, size_t room) {
    if (!control || !path || *path == '/') return path;
    char link[64];
    snprintf(link, sizeof link, at == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", at);
    ssize_t length = readlink(link, space, room - 1);
    if (length < 0) return NULL;
    snprintf(space + length, room - length, "/%s", path);
    return space;
}

static const char *of_handle(int handle, char *space, size_t room) {
    if (!control) return NULL;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, space, room - 1);
    if (length < 0) return NULL;
    space[length] = 0;
    return space;
}

static int is_a_line_of_a_log(const char *call, const char *path) {
    return !strcmp(call, "write") && !strncmp(path + root_length, "/logs/", 6);
}

/* Returns NOTHING, KILL (the caller may write half before it calls die) or FAIL, with errno set. */
static int due(const char *call, const char *path) {
    if (!below(path) || is_a_line_of_a_log(call, path)) return NOTHING;
    uint64_t number = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
    if (!control->action || number < control->at || (number > control->at && !control->lasting)) return NOTHING;
    if (number == control->at) snprintf(control->where, sizeof control->where, "%s %s", call, path + root_length);
    if (control->action == HOLD) {
        kill(-control->group, SIGSTOP);
        return NOTHING;
    }
    errno = control->error;
    return control->action;
}

static void die(void) {
    kill(control->group ? -control->group : getpid(), SIGKILL);
    for (;;) pause();
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define STOP(call, path, failed) \
    do { int what_ = due(call, path); if (what_ == KILL) die(); if (what_ == FAIL) return failed; } while (0)
#define MAKES(flags) (((flags) & O_CREAT) || ((flags) & O_TRUNC) || ((flags) & O_TMPFILE) == O_TMPFILE)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, #name, const char *, int, ...); \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, int); va_end(more); \
        char space[4352]; \
        if (MAKES(flags)) STOP("open", full(AT_FDCWD, path, space, sizeof space), -1); \
        return real(path, flags, mode); }
#define OPENAT(name) \
    int name(int at, const char *path, int flags, ...) { \
        REAL(int, #name, int, const char *, int, ...); \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, int); va_end(more); \
        char space[4352]; \
        if (MAKES(flags)) STOP("open", full(at, path, space, sizeof space), -1); \
        return real(at, path, flags, mode); }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) { \
        REAL(FILE *, #name, const char *, const char *); \
        char space[4352]; \
        if (*mode != 'r') STOP("open", full(AT_FDCWD, path, space, sizeof space), NULL); \
        return real(path, mode); }
FOPEN(fopen) FOPEN(fopen64)

ssize_t write(int handle, const void *bytes, size_t n) {
    REAL(ssize_t, "write", int, const void *, size_t);
    char space[4352];
    int what = due("write", of_handle(handle, space, sizeof space));
    if (what == KILL) { ssize_t half = real(handle, bytes, n / 2); (void)half; die(); }
    return what == FAIL ? -1 : real(handle, bytes, n);
}

#define PWRITE(name, offset) \
    ssize_t name(int handle, const void *bytes, size_t n, offset place) { \
        REAL(ssize_t, #name, int, const void *, size_t, offset); \
        char space[4352]; \
        int what = due("write", of_handle(handle, space, sizeof space)); \
        if (what == KILL) { ssize_t half = real(handle, bytes, n / 2, place); (void)half; die(); } \
        return what == FAIL ? -1 : real(handle, bytes, n, place); }
PWRITE(pwrite, off_t) PWRITE(pwrite64, off64_t)

#define SIMPLE(result, failed, call, name, path, parameters, types, arguments) \
    result name parameters { \
        REAL(result, #name, types); \
        char space[4352]; \
        STOP(call, path, failed); \
        return real arguments; }
#define T(...) __VA_ARGS__
#define HANDLE of_handle(handle, space, sizeof space)
SIMPLE(ssize_t, -1, "write", writev, HANDLE, (int handle, const struct iovec *parts, int n),
       T(int, const struct iovec *, int), (handle, parts, n))
SIMPLE(ssize_t, -1, "write", sendfile, HANDLE, (int handle, int from, off_t *place, size_t n),
       T(int, int, off_t *, size_t), (handle, from, place, n))
SIMPLE(ssize_t, -1, "write", sendfile64, HANDLE, (int handle, int from, off64_t *place, size_t n),
       T(int, int, off64_t *, size_t), (handle, from, place, n))
SIMPLE(ssize_t, -1, "write", copy_file_range, of_handle(to, space, sizeof space),
       (int from, off64_t *start, int to, off64_t *place, size_t n, unsigned flags),
       T(int, off64_t *, int, off64_t *, size_t, unsigned), (from, start, to, place, n, flags))
SIMPLE(int, -1, "truncate", ftruncate, HANDLE, (int handle, off_t size), T(int, off_t), (handle, size))
SIMPLE(int, -1, "truncate", ftruncate64, HANDLE, (int handle, off64_t size), T(int, off64_t), (handle, size))
SIMPLE(int, control->error, "allocate", posix_fallocate, HANDLE, (int handle, off_t from, off_t size),
       T(int, off_t, off_t), (handle, from, size))
SIMPLE(int, control->error, "allocate", posix_fallocate64, HANDLE, (int handle, off64_t from, off64_t size),
       T(int, off64_t, off64_t), (handle, from, size))
SIMPLE(int, -1, "allocate", fallocate, HANDLE, (int handle, int mode, off_t from, off_t size),
       T(int, int, off_t, off_t), (handle, mode, from, size))
SIMPLE(int, -1, "sync", fsync, HANDLE, (int handle), T(int), (handle))
SIMPLE(int, -1, "sync", fdatasync, HANDLE, (int handle), T(int), (handle))
SIMPLE(int, -1, "rename", rename, full(AT_FDCWD, to, space, sizeof space), (const char *from, const char *to),
       T(const char *, const char *), (from, to))
SIMPLE(int, -1, "rename", renameat, full(b, to, space, sizeof space),
       (int a, const char *from, int b, const char *to), T(int, const char *, int, const char *), (a, from, b, to))
SIMPLE(int, -1, "rename", renameat2, full(b, to, space, sizeof space),
       (int a, const char *from, int b, const char *to, unsigned flags),
       T(int, const char *, int, const char *, unsigned), (a, from, b, to, flags))
SIMPLE(int, -1, "link", link, full(AT_FDCWD, to, space, sizeof space), (const char *from, const char *to),
       T(const char *, const char *), (from, to))
SIMPLE(int, -1, "link", linkat, full(b, to, space, sizeof space),
       (int a, const char *from, int b, const char *to, int flags),
       T(int, const char *, int, const char *, int), (a, from, b, to, flags))
/* Folders that are there already change nothing. */
SIMPLE(int, -1, "mkdir", mkdir, access(path, F_OK) ? full(AT_FDCWD, path, space, sizeof space) : NULL,
       (const char *path, mode_t mode), T(const char *, mode_t), (path, mode))
SIMPLE(int, -1, "mkdir", mkdirat, faccessat(at, path, F_OK, 0) ? full(at, path, space, sizeof space) : NULL,
       (int at, const char *path, mode_t mode), T(int, const char *, mode_t), (at, path, mode))
SIMPLE(size_t, 0, "write", fwrite, of_handle(fileno(stream), space, sizeof space),
       (const void *bytes, size_t size, size_t n, FILE *stream), T(const void *, size_t, size_t, FILE *),
       (bytes, size, n, stream))

/* A disk that stays full says so when asked. */
#define STATVFS(name, type) \
    int name(const char *path, struct type *found) { \
        REAL(int, #name, const char *, struct type *); \
        char space[4352]; \
        int status = real(path, found); \
        if (!status && below(full(AT_FDCWD, path, space, sizeof space)) && control->lasting && \
            control->action == FAIL && control->error == ENOSPC && control->count >= control->at) \
            found->f_bavail = found->f_bfree = 0; \
        return status; }
STATVFS(statvfs, statvfs) STATVFS(statvfs64, statvfs64)
