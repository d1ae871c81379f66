// UVIC_FUZZ_TARGET(name, extensions...) { read `bytes` } declares a reader that must survive any
// bytes: it either takes them or throws std::runtime_error. Everything else is a finding: a crash,
// another exception, an allocation or a time out of proportion to the bytes. Seeds are corpus/NAME,
// and the golden files of these extensions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/torch.h"

namespace uvic::fuzz {

using Read = void (*)(const std::string& bytes);

struct Target {
  const char* name;
  std::vector<std::string> extensions;  ///< of its seeds
  Read read;
};

/// All targets linked into this program.
inline std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

inline bool add_target(Target target) {
  targets().push_back(std::move(target));
  return true;
}

/// Whether the reader took the bytes; any exception but std::runtime_error leaves.
inline bool survives(Read read, const std::string& bytes) {
  try {
    read(bytes);
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

/// Reads every element, so that a tensor beyond its memory is found.
inline void touch(const torch::Tensor& tensor) {
  constexpr int64_t kMost = 1 << 16;  // views of one element can be long
  if (!tensor.defined() || tensor.numel() > kMost) return;
  const auto copy = tensor.contiguous();
  const auto* bytes = static_cast<const uint8_t*>(copy.data_ptr());
  volatile uint8_t sum = 0;
  for (size_t i = 0; i < copy.nbytes(); ++i) sum = static_cast<uint8_t>(sum + bytes[i]);
}

}  // namespace uvic::fuzz

#ifdef UVIC_LIBFUZZER
#define UVIC_FUZZ_TARGET(name, ...)                                                 \
  static void read_##name(const std::string& bytes);                                \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {         \
    uvic::fuzz::survives(read_##name, {reinterpret_cast<const char*>(data), size}); \
    return 0;                                                                       \
  }                                                                                 \
  static void read_##name(const std::string& bytes)
#else
#define UVIC_FUZZ_TARGET(name, ...)                                                             \
  static void read_##name(const std::string& bytes);                                            \
  static const bool added_##name = uvic::fuzz::add_target({#name, {__VA_ARGS__}, read_##name}); \
  static void read_##name(const std::string& bytes)
#endif
