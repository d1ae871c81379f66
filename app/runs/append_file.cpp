#include "app/runs/append_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace uvic::app {

void append_to_file(const std::filesystem::path& path, std::string_view text) {
  const int file =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
  struct stat status = {};
  if (file >= 0 && fstat(file, &status) == 0 && !S_ISREG(status.st_mode)) {
    ::close(file);
    throw std::runtime_error(path.string() + ": not a regular file");
  }
  const off_t before = file >= 0 ? lseek(file, 0, SEEK_END) : 0;
  size_t done = 0;
  while (file >= 0 && done < text.size()) {
    const ssize_t written = ::write(file, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    done += static_cast<size_t>(written);
  }
  const int error = errno;
  const bool is_torn = file >= 0 && done < text.size() && ftruncate(file, before) != 0;
  if (file >= 0) ::close(file);
  if (done < text.size())
    throw std::runtime_error(fmt::format("{}: can't append: {}{}",
                                         path.string(),
                                         std::strerror(error),
                                         is_torn ? "; its last line is torn" : ""));
}

}  // namespace uvic::app
