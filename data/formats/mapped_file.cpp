#include "data/formats/mapped_file.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "base/torch.h"

namespace uvic::formats {

namespace {

// Maps that the SIGBUS handler looks after. Fixed and without locks: a handler may not wait.
struct Guard {
  std::atomic<bool> taken{false};
  std::atomic<uintptr_t> begin{0}, end{0};  // whole pages; equal: none
  std::atomic<const char*> name{nullptr};
};
constexpr size_t kGuards = 4096;
constexpr size_t kUnguarded = kGuards;  // a map beyond that number keeps the signal's default
Guard guards[kGuards];
std::atomic<bool> any_lost{false};
char lost_name[4096];  // of the file that lost a page first
uintptr_t page_bytes = 4096;

// A page of a mapped file that is not in the file any more. All of the map from there on is
// replaced by zeros; mmap() is no more than a system call.
void on_bus_error(int signal, siginfo_t* info, void*) {
  const auto at = reinterpret_cast<uintptr_t>(info->si_addr);
  for (auto& guard : guards) {
    const auto begin = guard.begin.load(), end = guard.end.load();
    if (at < begin || at >= end) continue;
    const auto within = at % page_bytes;  // its page
    if (mmap(static_cast<char*>(info->si_addr) - within,
             end - at + within,
             PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
             -1,
             0) == MAP_FAILED)
      break;
    if (const char* name = guard.name; name && !any_lost)
      for (size_t i = 0; i + 1 < sizeof lost_name && name[i]; ++i) lost_name[i] = name[i];
    any_lost = true;
    return;
  }
  std::signal(signal, SIG_DFL);  // not ours: the access is repeated and ends the process
}

void handle_bus_errors() {
  static const bool done = [] {
    page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, nullptr) == 0;
  }();
  (void)done;
}

size_t guard_map(const void* data, size_t size, const char* name) {
  handle_bus_errors();
  static std::atomic<size_t> start{0};
  const size_t first = start++;
  for (size_t i = 0; i < kGuards; ++i) {
    auto& guard = guards[(first + i) % kGuards];
    if (guard.taken.exchange(true)) continue;
    const auto begin = reinterpret_cast<uintptr_t>(data);
    guard.name = name;
    guard.end = begin + (size + page_bytes - 1) / page_bytes * page_bytes;
    guard.begin = begin;
    return (first + i) % kGuards;
  }
  return kUnguarded;
}

void release_guard(size_t number) {
  if (number == kUnguarded) return;
  guards[number].begin = guards[number].end = 0;
  guards[number].taken = false;
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  std::shared_ptr<MappedFile> mapped(new MappedFile);
  mapped->name_ = path.string();
  mapped->file_ = std::make_unique<RegularFile>(path);
  const size_t size = mapped->file_->size();
  if (size == 0) return mapped;
  // MAP_NORESERVE: a private map larger than the memory is fine as long as few pages are written.
  void* map = mmap(nullptr,
                   size,
                   PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_NORESERVE,
                   mapped->file_->descriptor(),
                   0);
  if (map == MAP_FAILED)
    throw std::runtime_error(fmt::format("{}: {}", mapped->name_, std::strerror(errno)));
  mapped->data_ = static_cast<uint8_t*>(map);
  mapped->size_ = size;
  mapped->guard_ = guard_map(map, size, mapped->name_.c_str());
  return mapped;
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
  if (!file_ || !data_) return;
  release_guard(guard_);
  munmap(data_, size_);
}

void MappedFile::require_unchanged() const {
  if (file_ && !file_->is_unchanged()) throw file_->changed();
}

void require_nothing_lost() {
  if (any_lost)
    throw std::runtime_error(
        fmt::format("{}: shortened while it was read, or its disk failed: do not use these results",
                    lost_name));
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
