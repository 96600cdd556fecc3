/* Faults of the system, for tests: loaded before the C library with LD_PRELOAD.

   Calls that open, read, write, rename or synchronise files below a folder are counted. The one
   with a chosen number fails, comes short, or is the last one of the process. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { NONE, IO_ERROR, TOO_MANY_FILES, NO_SPACE, SHORT, KILL };
enum call { OPENS = 1, READS = 2, WRITES = 4 };

#define FILES 65536
static char root[4096];
static size_t root_length;
static atomic_long calls;
static long target;
static int kind, lasting;
static atomic_char watched[FILES];

void faults_arm(const char *folder, long at, int what, int lasts) {
  strncpy(root, folder, sizeof root - 1);
  root_length = strlen(root);
  target = at, kind = what, lasting = lasts;
  atomic_store(&calls, 0);
}

long faults_count(void) { return atomic_load(&calls); }

static int inside(const char *path) {
  return root_length && path && strncmp(path, root, root_length) == 0;
}

static int applies(int call) {
  switch (kind) {
    case TOO_MANY_FILES: return call & OPENS;
    case NO_SPACE: return call & WRITES;
    case SHORT: return call & (READS | WRITES) && !(call & OPENS);
    default: return 1;
  }
}

/* 0: goes on; 1: fails, errno is set; 2: comes short. */
static int fault(int call) {
  if (!root_length) return 0;
  long number = atomic_fetch_add(&calls, 1) + 1;
  if (kind == NONE || number < target) return 0;
  static atomic_int done;
  if (!applies(call) || (!lasting && atomic_exchange(&done, 1))) return 0;
  switch (kind) {
    case IO_ERROR: errno = EIO; return 1;
    case TOO_MANY_FILES: errno = EMFILE; return 1;
    case NO_SPACE: errno = ENOSPC; return 1;
    case SHORT: return 2;
    default: kill(getpid(), SIGKILL); return 1;
  }
}

#define REAL(name) ({ static typeof(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })
#define SEEN(fd) ((fd) >= 0 && (fd) < FILES && atomic_load(&watched[fd]))

static int opened(int fd, int is_inside) {
  if (fd >= 0 && fd < FILES) atomic_store(&watched[fd], is_inside);
  return fd;
}

static int opening(int flags) { return OPENS | (flags & (O_CREAT | O_TRUNC) ? WRITES : READS); }

#define OPEN(name, before, path, ...)                                      \
  mode_t mode = 0;                                                         \
  if (flags & (O_CREAT | O_TMPFILE)) {                                     \
    va_list more;                                                          \
    va_start(more, flags);                                                 \
    mode = va_arg(more, mode_t);                                           \
    va_end(more);                                                          \
  }                                                                        \
  int is_inside = inside(path);                                            \
  if (is_inside && fault(opening(flags)) == 1) return -1;                  \
  return opened(REAL(name)(__VA_ARGS__, flags, mode), is_inside);

int open(const char *path, int flags, ...) { OPEN(open, , path, path) }
int open64(const char *path, int flags, ...) { OPEN(open64, , path, path) }
int openat(int at, const char *path, int flags, ...) { OPEN(openat, , path, at, path) }
int openat64(int at, const char *path, int flags, ...) { OPEN(openat64, , path, at, path) }

#define MOVE(type, call, name, size, ...)          \
  if (SEEN(fd)) {                                  \
    int what = fault(call);                        \
    if (what == 1) return -1;                      \
    if (what == 2 && size > 1) size = size / 2;    \
  }                                                \
  return REAL(name)(__VA_ARGS__);

ssize_t read(int fd, void *data, size_t size) { MOVE(ssize_t, READS, read, size, fd, data, size) }
ssize_t pread(int fd, void *data, size_t size, off_t at) {
  MOVE(ssize_t, READS, pread, size, fd, data, size, at)
}
ssize_t pread64(int fd, void *data, size_t size, off64_t at) {
  MOVE(ssize_t, READS, pread64, size, fd, data, size, at)
}
ssize_t write(int fd, const void *data, size_t size) {
  MOVE(ssize_t, WRITES, write, size, fd, data, size)
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  MOVE(ssize_t, WRITES, pwrite, size, fd, data, size, at)
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  MOVE(ssize_t, WRITES, pwrite64, size, fd, data, size, at)
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (SEEN(fd) && fault(WRITES) == 1) return -1;
  return REAL(writev)(fd, parts, count);
}

int fsync(int fd) {
  if (SEEN(fd) && fault(WRITES) == 1) return -1;
  return REAL(fsync)(fd);
}
int fdatasync(int fd) {
  if (SEEN(fd) && fault(WRITES) == 1) return -1;
  return REAL(fdatasync)(fd);
}
int close(int fd) {
  if (fd >= 0 && fd < FILES) atomic_store(&watched[fd], 0);
  return REAL(close)(fd);
}

int rename(const char *from, const char *to) {
  if (inside(to) && fault(WRITES) == 1) return -1;
  return REAL(rename)(from, to);
}
int mkdir(const char *path, mode_t mode) {
  if (inside(path) && fault(WRITES) == 1) return -1;
  return REAL(mkdir)(path, mode);
}
