#include "base/tensor_allocator.h"

#include <c10/core/CPUAllocator.h>
#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace uvic::base {
namespace {

constexpr uintptr_t kAlignment = 64;  // as in LibTorch

void give_back(void* data) {
  if (data) std::free(static_cast<void**>(data)[-1]);
}

c10::DataPtr take(size_t bytes) {
  const c10::Device device(c10::DeviceType::CPU);
  if (bytes == 0) return {nullptr, device};
  void* const block = std::malloc(bytes + sizeof(void*) + kAlignment);
  if (!block)
    throw std::runtime_error(fmt::format(
        "no memory for {} MiB more; a smaller --batch_size needs less, as does --accumulate in "
        "training",
        (bytes >> 20) + 1));
  const auto first = reinterpret_cast<uintptr_t>(block) + sizeof(void*);
  auto* const data = reinterpret_cast<void**>((first + kAlignment - 1) & ~(kAlignment - 1));
  data[-1] = block;
  return {data, data, give_back, device};
}

// allocate() is const in LibTorch 1.13 and not in LibTorch 2. Hence both functions, and no
// override.
struct CompactMemory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) const { return take(bytes); }
  c10::DataPtr allocate(size_t bytes) { return take(bytes); }
  c10::DeleterFnPtr raw_deleter() const override { return give_back; }
  void copy_data(void* to, const void* from, size_t bytes) const { std::memcpy(to, from, bytes); }
};

}  // namespace

void use_compact_tensor_memory() {
  static CompactMemory memory;
  c10::SetCPUAllocator(&memory);
}

}  // namespace uvic::base
