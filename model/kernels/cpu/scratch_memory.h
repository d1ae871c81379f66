// Working memory of a thread, reused between calls.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace uvic::model {

/// At least `floats` floats, aligned to 64 bytes. Valid until the next call on the same thread.
inline float* thread_scratch(int64_t floats) {
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  thread_local std::unique_ptr<float, Free> memory;
  thread_local int64_t capacity = 0;
  if (floats > capacity) {
    memory.reset();
    capacity = 0;
    const auto bytes = (static_cast<size_t>(floats) * sizeof(float) + 4095) / 4096 * 4096;
    memory.reset(static_cast<float*>(std::aligned_alloc(4096, bytes)));
    if (!memory) throw std::bad_alloc();
    capacity = floats;
  }
  return memory.get();
}

}  // namespace uvic::model
