#include "data/formats/part_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/formats/file_error.h"
#include "data/formats/flush.h"
#include "data/formats/json.h"
#include "data/formats/output_file.h"

namespace uvic::formats {
namespace fs = std::filesystem;

namespace {

/// A link stays, and its target is what is written.
fs::path link_target(fs::path path) {
  std::error_code error;
  return fs::is_symlink(path, error) ? fs::weakly_canonical(path, error) : path;
}

fs::path with_ending(fs::path path, const char* ending) { return path += ending; }

}  // namespace

PartFile::PartFile(fs::path final_path, const std::string& plan)
    : final_(link_target(std::move(final_path))),
      part_(with_ending(final_, ".uvic-part")),
      record_(with_ending(part_, ".json")),
      plan_(plan) {
  open(plan);
}

PartFile::~PartFile() {
  if (descriptor_ < 0) return;
  if (done_ == 0) {
    ::unlink(part_.c_str());
    ::unlink(record_.c_str());
  }
  ::close(descriptor_);
}

void PartFile::fail(const std::string& what) const {
  throw file_error(final_.string(), fmt::format("{}: {}", what, std::strerror(errno)));
}

void PartFile::open(const std::string& plan) {
  // The record comes first: a part without one is somebody else's file.
  refuse_flag_as_path(final_);
  std::error_code error;
  const bool is_there = fs::exists(fs::symlink_status(part_, error));
  if (is_there && !fs::is_regular_file(record_, error))
    throw file_error(
        final_.string(),
        part_.filename().string() +
            " already exists, and no record next to it says that uvic wrote it; move it away");
  if (!is_there) write_json(record_, {{"plan", plan}, {"bytes", 0U}, {"done", 0U}});
  descriptor_ = ::open(
      part_.c_str(), O_RDWR | (is_there ? 0 : O_CREAT | O_EXCL) | O_CLOEXEC | O_NOFOLLOW, 0644);
  struct stat status = {};
  if (descriptor_ < 0 || fstat(descriptor_, &status) != 0) fail("can't be written");
  if (!S_ISREG(status.st_mode))
    throw file_error(final_.string(), part_.filename().string() + " is not a regular file");
  if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0)
    throw file_error(final_.string(), "another process writes it");
  if (is_there) {
    const auto record = try_parse_json(read_file(record_, size_t{1} << 20));
    const auto has = [&](const char* key) {
      return record && record->is_object() && record->contains(key) &&
             (*record)[key].is_number_unsigned();
    };
    if (has("bytes") && has("done") && record->value("plan", nlohmann::json()) == plan) {
      at_ = (*record)["bytes"].get<uint64_t>();
      done_ = (*record)["done"].get<int64_t>();
    }
  }
  if (at_ > static_cast<uint64_t>(status.st_size)) at_ = 0, done_ = 0;
  if (ftruncate(descriptor_, static_cast<off_t>(at_)) != 0 ||
      lseek(descriptor_, static_cast<off_t>(at_), SEEK_SET) < 0)
    fail("can't be written");
}

std::string PartFile::read(uint64_t offset, size_t size_bytes) const {
  std::string bytes(size_bytes, '\0');
  for (size_t got = 0; got < size_bytes;) {
    const ssize_t count =
        pread(descriptor_, bytes.data() + got, size_bytes - got, static_cast<off_t>(offset + got));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("can't be read back");
    if (count == 0) throw file_error(final_.string(), "its part is shorter than it was");
    got += static_cast<size_t>(count);
  }
  return bytes;
}

void PartFile::write(const void* bytes, size_t size_bytes) {
  const auto* from = static_cast<const char*>(bytes);
  for (size_t done = 0; done < size_bytes;) {
    const ssize_t count = ::write(descriptor_, from + done, size_bytes - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail("can't write");
    done += static_cast<size_t>(count);
  }
  at_ += size_bytes;
}

void PartFile::checkpoint(int64_t done) {
  if (fdatasync(descriptor_) != 0) fail("can't write");
  done_ = done;
  write_json(record_, {{"plan", plan_}, {"bytes", at_}, {"done", done}});
}

void PartFile::commit() {
  if (fsync(descriptor_) != 0) fail("can't write");
  if (std::rename(part_.c_str(), final_.c_str()) != 0) fail("can't be renamed");
  std::error_code error;
  fs::remove(record_, error);
  flush_to_disk(final_.has_parent_path() ? final_.parent_path() : fs::path("."));
  ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace uvic::formats
