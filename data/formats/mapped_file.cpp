#include "data/formats/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace uvic::formats {

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const auto refuse = [&](const char* reason) {
    return std::runtime_error(fmt::format("{}: {}", path.string(), reason));
  };
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->name_ = path.string();
  // O_NONBLOCK: opening a pipe without a writer would wait forever.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) throw refuse(std::strerror(errno));
  struct stat status {};
  const bool is_regular = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  if (!is_regular) {
    ::close(descriptor);
    throw refuse(S_ISDIR(status.st_mode) ? "is a folder, not a file" : "is not a regular file");
  }
  file->size_ = static_cast<size_t>(status.st_size);
  if (file->size_ > 0) {
    // MAP_NORESERVE: a private map larger than the memory is fine as long as few pages are written.
    void* map = mmap(
        nullptr, file->size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0);
    const int error = errno;
    if (map == MAP_FAILED) {
      ::close(descriptor);
      throw refuse(std::strerror(error));
    }
    file->data_ = static_cast<uint8_t*>(map);
    file->is_mapped_ = true;
  }
  ::close(descriptor);
  return file;
}

std::shared_ptr<const MappedFile> MappedFile::from_bytes(std::string bytes, std::string name) {
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->bytes_ = std::move(bytes);
  file->name_ = std::move(name);
  file->data_ = reinterpret_cast<uint8_t*>(file->bytes_.data());
  file->size_ = file->bytes_.size();
  return file;
}

MappedFile::~MappedFile() {
  if (is_mapped_) munmap(data_, size_);
}

torch::Tensor tensor_over(const std::shared_ptr<const MappedFile>& file,
                          size_t offset_bytes,
                          at::IntArrayRef sizes,
                          torch::ScalarType dtype) {
  const int64_t numel = checked_numel(sizes);
  if (numel == 0) return torch::empty(sizes, dtype);
  uint8_t* bytes = file->data() + offset_bytes;
  const size_t element_bytes = c10::elementSize(dtype);
  if (dtype == torch::kBool) normalise_bools(bytes, static_cast<size_t>(numel));
  if (reinterpret_cast<uintptr_t>(bytes) % element_bytes == 0) {
    return torch::from_blob(
        bytes, sizes, [file](void*) {}, dtype);
  }
  auto copy = torch::empty(sizes, dtype);
  std::memcpy(copy.data_ptr(), bytes, static_cast<size_t>(numel) * element_bytes);
  return copy;
}

void normalise_bools(uint8_t* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] > 1) bytes[i] = 1;
  }
}

int64_t checked_numel(at::IntArrayRef sizes) {
  int64_t numel = 1;
  bool is_empty = false;
  for (const int64_t size : sizes) {
    if (size < 0) return -1;
    if (size == 0) {
      is_empty = true;
    } else if (__builtin_mul_overflow(numel, size, &numel) || numel > (int64_t{1} << 58)) {
      return -1;
    }
  }
  return is_empty ? 0 : numel;
}

}  // namespace uvic::formats
