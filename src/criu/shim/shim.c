/*
 * SPDX-License-Identifier: MIT
 *
 * Preloaded into criu (LD_PRELOAD). Does nothing unless GODWIT_SHIM says so; the variables are removed at once, so that
 * programs which criu starts are left alone. "loaded" is written to the descriptor GODWIT_SHIM_READY, which is closed.
 *
 * GODWIT_SHIM=dump: keeps the contents of memory out of a dump, because they travel another way.
 *   - ioctl(PAGEMAP_SCAN) for pages to dump finds none; the scan for guard pages goes to the kernel.
 *   - lseek(SEEK_DATA) finds no data in shared memory objects that are listed in the file "copied-objects" of criu's
 *     working directory (pairs of 64-bit device and inode); all others criu dumps itself.
 *   - /proc/PID/smaps is read from the file "smaps-PID" of the working directory if there is one: criu wants only the
 *     VmFlags, but the kernel walks every page table entry to make that file.
 *   - The first change to a process's memory (PTRACE_POKE*, by which criu injects its parasite) waits for a byte from
 *     the descriptor GODWIT_SHIM_SCANNED: so criu stops and inspects the processes while the caller still looks for
 *     pages that have changed. If the descriptor ends without it, the change fails, and with it the dump.
 *   - prlimit() of a process that runs as another user needs CAP_SYS_RESOURCE, which a node's agent may lack; where the
 *     kernel refuses to tell the limits, they are read from /proc/PID/limits.
 * GODWIT_SHIM=restore: makes sure that a restored process never runs without whoever ordered the restore.
 *   - processes that criu traces are killed by the kernel if criu dies (PTRACE_O_EXITKILL), until it detaches;
 *   - once it traces them, the loss of its RPC peer ends criu, and so them. criu itself would only log it;
 *   - GODWIT_SHIM_INIT_PID is the number that the container's first process gets in criu's own pid namespace.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

enum mode { MODE_OFF, MODE_DUMP, MODE_RESTORE };
static enum mode mode;
static int scanned_fd = -1; /* dump: until the caller has seen the memory as the container left it */
static int tracing;         /* restore: criu has begun to trace what it restored */
static pid_t init_pid;      /* restore: wanted of the first process; 0: any */

__attribute__((constructor)) static void begin(void) {
  const char* text = getenv("GODWIT_SHIM");
  if (text != NULL && strcmp(text, "dump") == 0) mode = MODE_DUMP;
  if (text != NULL && strcmp(text, "restore") == 0) mode = MODE_RESTORE;
  const char* ready = getenv("GODWIT_SHIM_READY");
  if (mode != MODE_OFF && ready != NULL) {
    const int fd = atoi(ready);
    (void)!syscall(SYS_write, fd, "loaded", 6);
    close(fd);
  }
  const char* scanned = getenv("GODWIT_SHIM_SCANNED");
  if (mode == MODE_DUMP && scanned != NULL) scanned_fd = atoi(scanned);
  const char* wanted = getenv("GODWIT_SHIM_INIT_PID");
  if (mode == MODE_RESTORE && wanted != NULL) init_pid = (pid_t)atoi(wanted);
  unsetenv("GODWIT_SHIM");
  unsetenv("GODWIT_SHIM_SCANNED");
  unsetenv("GODWIT_SHIM_INIT_PID");
  unsetenv("GODWIT_SHIM_READY");
  unsetenv("LD_PRELOAD");
}

/* As the kernel's struct pm_scan_arg, Documentation/admin-guide/mm/pagemap.rst. */
struct pm_scan {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_REQUEST _IOWR('f', 16, struct pm_scan)
#define CATEGORY_GUARD (UINT64_C(1) << 8)

EXPORTED int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (mode == MODE_DUMP && request == PAGEMAP_SCAN_REQUEST) {
    struct pm_scan* scan = argument;
    if (scan != NULL && scan->size >= sizeof *scan && scan->vec != 0 && (scan->category_mask & CATEGORY_GUARD) == 0) {
      scan->walk_end = scan->end;
      return 0;
    }
  }
  return (int)syscall(SYS_ioctl, fd, request, argument);
}

/* Returns 0 if the caller has finished its last scan. */
static int wait_until_scanned(void) {
  static int failed;
  if (scanned_fd >= 0) {
    char byte;
    ssize_t got;
    do {
      got = read(scanned_fd, &byte, 1);
    } while (got < 0 && errno == EINTR);
    failed = got != 1;
    close(scanned_fd);
    scanned_fd = -1;
  }
  if (failed) errno = ECANCELED;
  return failed ? -1 : 0;
}

/* Objects whose contents the caller copies. Read once: the list is complete when the last scan is. */
static int is_copied_object(int fd) {
  static uint64_t* objects;
  static size_t count;
  static int loaded;
  if (!loaded) {
    loaded = 1;
    struct stat file;
    const int list = open("copied-objects", O_RDONLY | O_CLOEXEC);
    if (list >= 0 && fstat(list, &file) == 0 && file.st_size > 0 && (objects = malloc((size_t)file.st_size)) != NULL &&
        read(list, objects, (size_t)file.st_size) == file.st_size) {
      count = (size_t)file.st_size / (2 * sizeof(uint64_t));
    }
    if (list >= 0) close(list);
  }
  struct stat object;
  if (count == 0 || fstat(fd, &object) != 0) return 0;
  for (size_t i = 0; i < count; ++i) {
    if (objects[2 * i] == object.st_dev && objects[2 * i + 1] == object.st_ino) return 1;
  }
  return 0;
}

EXPORTED off64_t lseek64(int fd, off64_t offset, int whence) {
  if (mode == MODE_DUMP && whence == SEEK_DATA) {
    if (wait_until_scanned() != 0) return -1;
    if (!is_copied_object(fd)) return (off64_t)syscall(SYS_lseek, fd, offset, whence);
    errno = ENXIO; /* what the kernel says when only a hole follows */
    return -1;
  }
  return (off64_t)syscall(SYS_lseek, fd, offset, whence);
}

/* The prepared substitute for `directory`'s smaps (a descriptor of /proc/PID), or -1. */
static int open_prepared_smaps(int directory) {
  char link[64];
  char target[64];
  char name[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
  const ssize_t length = readlink(link, target, sizeof target - 1);
  if (length <= 0) return -1;
  target[length] = '\0';
  const char* last = strrchr(target, '/');
  if (last == NULL || snprintf(name, sizeof name, "smaps-%s", last + 1) >= (int)sizeof name) return -1;
  return open(name, O_RDONLY | O_CLOEXEC);
}

EXPORTED int openat64(int directory, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const unsigned permissions = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, unsigned) : 0;
  va_end(arguments);
  if (mode == MODE_DUMP && strcmp(path, "smaps") == 0) {
    const int prepared = open_prepared_smaps(directory);
    if (prepared >= 0) return prepared;
  }
  return (int)syscall(SYS_openat, directory, path, flags | O_LARGEFILE, permissions);
}

static rlim64_t limit_from_text(const char* text) {
  return strcmp(text, "unlimited") == 0 ? RLIM64_INFINITY : strtoull(text, NULL, 10);
}

/* The file has a line of headings, then one for each resource in the order of their numbers; the name of a resource,
 * which may have spaces, fills 25 columns (fs/proc/base.c, proc_pid_limits). */
static int read_limit(pid_t pid, int resource, struct rlimit64* limit) {
  char path[64];
  char line[256];
  char soft[32];
  char hard[32];
  snprintf(path, sizeof path, "/proc/%d/limits", pid);
  FILE* file = fopen(path, "re");
  if (file == NULL) return -1;
  int found = -1;
  for (int number = -1; found != 0 && number <= resource && fgets(line, sizeof line, file) != NULL; ++number) {
    if (number != resource || strlen(line) < 26 || sscanf(line + 25, "%31s %31s", soft, hard) != 2) continue;
    limit->rlim_cur = limit_from_text(soft);
    limit->rlim_max = limit_from_text(hard);
    found = 0;
  }
  fclose(file);
  return found;
}

/* Whether this makes the container's first process, whose number outside of it is to be the wanted one. */
static int wants_number(const struct clone_args* clone, size_t size) {
  if (mode != MODE_RESTORE || init_pid <= 0 || clone == NULL || size < CLONE_ARGS_SIZE_VER1) return 0;
  return (clone->flags & CLONE_NEWPID) != 0 && clone->set_tid_size == 1;
}

/* criu makes some system calls, prlimit and clone3 among them, by this function. Its caller gave as many arguments as
 * the call takes; what is read beyond them is passed on unused. */
EXPORTED long syscall(long number, ...) {
  static long (*next)(long, ...);
  long given[6];
  va_list arguments;
  va_start(arguments, number);
  for (size_t i = 0; i < 6; ++i) given[i] = va_arg(arguments, long);
  va_end(arguments);
  if (next == NULL) *(void**)&next = dlsym(RTLD_NEXT, "syscall");
  struct clone_args numbered;
  pid_t numbers[2];
  if (number == SYS_clone3 && wants_number((const struct clone_args*)given[0], (size_t)given[1])) {
    memset(&numbered, 0, sizeof numbered);
    memcpy(&numbered, (const void*)given[0], (size_t)given[1] < sizeof numbered ? (size_t)given[1] : sizeof numbered);
    numbers[0] = *(const pid_t*)(uintptr_t)numbered.set_tid;
    numbers[1] = init_pid; /* numbers are listed from the innermost pid namespace outwards */
    numbered.set_tid = (uintptr_t)numbers;
    numbered.set_tid_size = 2;
    given[0] = (long)&numbered;
    if ((size_t)given[1] > sizeof numbered) given[1] = (long)sizeof numbered;
  }
  const long result = next(number, given[0], given[1], given[2], given[3], given[4], given[5]);
  const int asks_limit = number == SYS_prlimit64 && given[2] == 0 && given[3] != 0;
  if (result == 0 || !asks_limit || mode != MODE_DUMP || errno != EPERM) return result;
  if (read_limit((pid_t)given[0], (int)given[1], (struct rlimit64*)given[3]) == 0) return 0;
  errno = EPERM;
  return -1;
}

EXPORTED long ptrace(enum __ptrace_request request, ...) {
  va_list arguments;
  va_start(arguments, request);
  const pid_t pid = va_arg(arguments, pid_t);
  void* address = va_arg(arguments, void*);
  unsigned long data = va_arg(arguments, unsigned long);
  va_end(arguments);
  if (mode == MODE_RESTORE && (request == PTRACE_SEIZE || request == PTRACE_SETOPTIONS)) {
    data |= PTRACE_O_EXITKILL;
    tracing = 1;
  }
  const int pokes = request == PTRACE_POKETEXT || request == PTRACE_POKEDATA;
  if (pokes && wait_until_scanned() != 0) return -1;
  long word = 0;
  const int peeks = request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER;
  const long result = syscall(SYS_ptrace, request, pid, address, peeks ? (unsigned long)&word : data);
  if (!peeks || result < 0) return result;
  errno = 0;
  return word;
}

/* Sockets of criu's RPC are the only sequential-packet ones that it has. */
static void end_if_peer_is_gone(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  if (mode != MODE_RESTORE || !tracing) return;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET) kill(getpid(), SIGKILL);
}

EXPORTED ssize_t recv(int fd, void* buffer, size_t size, int flags) {
  const ssize_t got = syscall(SYS_recvfrom, fd, buffer, size, flags, NULL, NULL);
  if (got == 0 || (got < 0 && errno == ECONNRESET)) end_if_peer_is_gone(fd);
  return got;
}

EXPORTED ssize_t write(int fd, const void* data, size_t size) {
  const ssize_t written = syscall(SYS_write, fd, data, size);
  if (written < 0 && (errno == EPIPE || errno == ECONNRESET)) end_if_peer_is_gone(fd);
  return written;
}
