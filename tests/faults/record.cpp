// A library for LD_PRELOAD that writes down all that a program does to the files below a folder, so
// that a test can say what a disk holds when the power fails after any of it.
//
//   UVIC_RECORD_UNDER   the folder, absolute
//   UVIC_RECORD_TO      the journal, a file outside the folder
//
// Each record is a line "OPERATION \t PATH \t SECOND PATH \t OFFSET \t LENGTH" and LENGTH bytes:
//   create, write, truncate (OFFSET: the new size), sync, rename, link, unlink, mkdir, rmdir
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <string>

namespace {

std::recursive_mutex in_order;  // what is written down has the order in which it is done

template <class Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

bool is_under(const std::string& path) {
  const char* folder = getenv("UVIC_RECORD_UNDER");
  return folder && *folder && path.compare(0, strlen(folder), folder) == 0;
}

std::string path_of(int descriptor) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t size = readlink(link, path, sizeof path);
  return size < 0 ? "" : std::string(path, static_cast<size_t>(size));
}

void record(const char* operation,
            const std::string& path,
            const std::string& second = "",
            off_t offset = 0,
            const void* bytes = nullptr,
            size_t length = 0) {
  static const auto write_really = real<ssize_t (*)(int, const void*, size_t)>("write");
  static const int journal = [] {
    const auto open_really = real<int (*)(const char*, int, ...)>("open");
    const char* to = getenv("UVIC_RECORD_TO");
    return to ? open_really(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
  }();
  std::string line = std::string(operation) + "\t" + path + "\t" + second + "\t" +
                     std::to_string(offset) + "\t" + std::to_string(length) + "\n";
  if (bytes) line.append(static_cast<const char*>(bytes), length);
  if (write_really(journal, line.data(), line.size()) != static_cast<ssize_t>(line.size())) abort();
}

template <class Call>
int opened(bool creates, bool truncates, bool was_there, Call&& call) {
  const std::lock_guard lock(in_order);
  const int descriptor = call();
  if (descriptor < 0 || !(creates || truncates)) return descriptor;
  const int error = errno;
  if (const auto path = path_of(descriptor); is_under(path)) {
    if (creates && !was_there) record("create", path);
    if (truncates && was_there) record("truncate", path);
  }
  errno = error;
  return descriptor;
}

bool is_there(int folder, const char* path) { return faccessat(folder, path, F_OK, 0) == 0; }

template <class Call>
ssize_t written(int descriptor, const void* bytes, off_t offset, Call&& call) {
  const std::lock_guard lock(in_order);
  const auto path = path_of(descriptor);
  const ssize_t count = call();
  if (count <= 0 || !is_under(path)) return count;
  const int error = errno;
  record("write", path, "", offset, bytes, static_cast<size_t>(count));
  errno = error;
  return count;
}

off_t place_of_next(int descriptor) {
  struct stat status = {};
  if (fcntl(descriptor, F_GETFL) & O_APPEND)
    return fstat(descriptor, &status) == 0 ? status.st_size : 0;
  return lseek(descriptor, 0, SEEK_CUR);
}

/// An operation on names, written down where it went well.
template <class Call>
int named(const char* operation, const std::string& path, const std::string& second, Call&& call) {
  const std::lock_guard lock(in_order);
  const int result = call();
  if (result == 0 && is_under(path)) record(operation, path, second);
  return result;
}

mode_t mode_of(int flags, va_list arguments) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

int openat(int folder, const char* path, int flags, ...) {
  static const auto next = real<int (*)(int, const char*, int, ...)>("openat");
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return opened(flags & O_CREAT, flags & O_TRUNC, is_there(folder, path), [&] {
    return next(folder, path, flags, mode);
  });
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return openat(AT_FDCWD, path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return openat(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

ssize_t write(int descriptor, const void* bytes, size_t size) {
  static const auto next = real<ssize_t (*)(int, const void*, size_t)>("write");
  return written(
      descriptor, bytes, place_of_next(descriptor), [&] { return next(descriptor, bytes, size); });
}

ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t offset) {
  static const auto next = real<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return written(descriptor, bytes, offset, [&] { return next(descriptor, bytes, size, offset); });
}

ssize_t pwrite64(int descriptor, const void* bytes, size_t size, off64_t offset) {
  return pwrite(descriptor, bytes, size, offset);
}

int ftruncate(int descriptor, off_t size) {
  static const auto next = real<int (*)(int, off_t)>("ftruncate");
  const std::lock_guard lock(in_order);
  const int result = next(descriptor, size);
  if (const auto path = path_of(descriptor); result == 0 && is_under(path))
    record("truncate", path, "", size);
  return result;
}

int fsync(int descriptor) {
  static const auto next = real<int (*)(int)>("fsync");
  return named("sync", path_of(descriptor), "", [&] { return next(descriptor); });
}

int fdatasync(int descriptor) {
  static const auto next = real<int (*)(int)>("fdatasync");
  return named("sync", path_of(descriptor), "", [&] { return next(descriptor); });
}

int rename(const char* from, const char* to) {
  static const auto next = real<int (*)(const char*, const char*)>("rename");
  return named("rename", from, to, [&] { return next(from, to); });
}

int link(const char* from, const char* to) {
  static const auto next = real<int (*)(const char*, const char*)>("link");
  return named("link", from, to, [&] { return next(from, to); });
}

int unlink(const char* path) {
  static const auto next = real<int (*)(const char*)>("unlink");
  return named("unlink", path, "", [&] { return next(path); });
}

int rmdir(const char* path) {
  static const auto next = real<int (*)(const char*)>("rmdir");
  return named("rmdir", path, "", [&] { return next(path); });
}

int remove(const char* path) {
  struct stat status = {};
  const bool is_folder = lstat(path, &status) == 0 && S_ISDIR(status.st_mode);
  return is_folder ? rmdir(path) : unlink(path);
}

int mkdir(const char* path, mode_t mode) {
  static const auto next = real<int (*)(const char*, mode_t)>("mkdir");
  return named("mkdir", path, "", [&] { return next(path, mode); });
}

}  // extern "C"
