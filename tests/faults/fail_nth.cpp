// A library for LD_PRELOAD that makes one call of the system fail: the n-th that writes, opens for
// writing, shortens, renames or flushes a file below a folder.
//
//   UVIC_FAULT_UNDER   the folder; paths are compared as they are given and as the kernel names
//                      them
//   UVIC_FAULT_NTH     1, 2, ...; the one call that fails. From then on all goes well
//   UVIC_FAULT_KIND    enospc | eio | eintr | short (a write of half the bytes, then ENOSPC) | kill
//                      (SIGKILL instead of the call)
//   UVIC_FAULT_REPORT  a file outside the folder that gets the name of the function, when it has
//                      failed
//   UVIC_FAULT_COUNT   a file outside the folder that gets the number of calls, when the process
//                      ends
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace {

std::atomic<long> calls{0};
std::atomic<bool> cut_short{false};  // the write after a short one fails

template <class Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

bool is_under(const char* path) {
  const char* folder = getenv("UVIC_FAULT_UNDER");
  return folder && *folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

bool is_under(int descriptor) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return false;
  path[size] = '\0';
  return is_under(path);
}

/// The error of this call, 0 for none; -1 for a short write.
int fault(const char* function, bool can_be_short) {
  const char *nth = getenv("UVIC_FAULT_NTH"), *kind = getenv("UVIC_FAULT_KIND");
  if (!nth || !kind) return 0;
  if (can_be_short && cut_short.exchange(false)) return ENOSPC;
  if (++calls != atol(nth)) return 0;
  if (const char* report = getenv("UVIC_FAULT_REPORT")) {
    if (FILE* file = fopen(report, "w")) {
      fputs(function, file);
      fclose(file);
    }
  }
  if (strcmp(kind, "kill") == 0) raise(SIGKILL);
  if (strcmp(kind, "eio") == 0) return EIO;
  if (strcmp(kind, "eintr") == 0) return EINTR;
  if (strcmp(kind, "short") == 0 && can_be_short) {
    cut_short = true;
    return -1;
  }
  return ENOSPC;
}

__attribute__((destructor)) void report_count() {
  const char* path = getenv("UVIC_FAULT_COUNT");
  if (!path) return;
  if (FILE* file = fopen(path, "w")) {
    fprintf(file, "%ld\n", calls.load());
    fclose(file);
  }
}

bool opens_for_writing(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT); }

/// What is left to call, or the failure.
template <class Call>
auto or_fault(const char* function, bool concerned, Call&& call) -> decltype(call()) {
  if (concerned)
    if (const int error = fault(function, false)) {
      errno = error;
      return -1;
    }
  return call();
}

mode_t mode_of(int flags, va_list arguments) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

template <class Call>
ssize_t write_or_fault(const char* function, int descriptor, size_t size, Call&& call) {
  if (!is_under(descriptor)) return call(size);
  const int error = fault(function, size > 1);
  if (error == 0) return call(size);
  if (error < 0) return call(size / 2);
  errno = error;
  return -1;
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* bytes, size_t size) {
  static const auto next = real<ssize_t (*)(int, const void*, size_t)>("write");
  return write_or_fault(
      "write", descriptor, size, [&](size_t n) { return next(descriptor, bytes, n); });
}

ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t offset) {
  static const auto next = real<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return write_or_fault(
      "pwrite", descriptor, size, [&](size_t n) { return next(descriptor, bytes, n, offset); });
}

ssize_t pwrite64(int descriptor, const void* bytes, size_t size, off64_t offset) {
  return pwrite(descriptor, bytes, size, offset);
}

int fsync(int descriptor) {
  static const auto next = real<int (*)(int)>("fsync");
  return or_fault("fsync", is_under(descriptor), [&] { return next(descriptor); });
}

int ftruncate(int descriptor, off_t size) {
  static const auto next = real<int (*)(int, off_t)>("ftruncate");
  return or_fault("ftruncate", is_under(descriptor), [&] { return next(descriptor, size); });
}

int rename(const char* from, const char* to) {
  static const auto next = real<int (*)(const char*, const char*)>("rename");
  return or_fault("rename", is_under(to), [&] { return next(from, to); });
}

int mkdir(const char* path, mode_t mode) {
  static const auto next = real<int (*)(const char*, mode_t)>("mkdir");
  return or_fault("mkdir", is_under(path), [&] { return next(path, mode); });
}

int open(const char* path, int flags, ...) {
  static const auto next = real<int (*)(const char*, int, ...)>("open");
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return or_fault(
      "open", opens_for_writing(flags) && is_under(path), [&] { return next(path, flags, mode); });
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open(path, flags | O_LARGEFILE, mode);
}

int openat(int folder, const char* path, int flags, ...) {
  static const auto next = real<int (*)(int, const char*, int, ...)>("openat");
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return or_fault("openat", opens_for_writing(flags) && is_under(path), [&] {
    return next(folder, path, flags, mode);
  });
}

}  // extern "C"
