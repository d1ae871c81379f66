// Working memory of a thread, reused between calls.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace uvic::model {

struct FreeFloats {
  void operator()(float* p) const { std::free(p); }
};
struct ScratchMemory {
  std::unique_ptr<float, FreeFloats> data;
  int64_t capacity = 0;
};
inline thread_local ScratchMemory t_scratch;

/// At least `floats` floats, aligned to 64 bytes. Valid until the next call on the same thread.
inline float* thread_scratch(int64_t floats) {
  auto& memory = t_scratch;
  if (floats > memory.capacity) {
    memory.data.reset();
    memory.capacity = 0;
    const auto bytes = (static_cast<size_t>(floats) * sizeof(float) + 4095) / 4096 * 4096;
    memory.data.reset(static_cast<float*>(std::aligned_alloc(4096, bytes)));
    if (!memory.data) throw std::bad_alloc();
    memory.capacity = floats;
  }
  return memory.data.get();
}

}  // namespace uvic::model
