// Numbers in file order. Every format here is little-endian, as is every machine that LibTorch is
// built for.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

namespace uvic::formats {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the readers copy little-endian numbers");

template <class T>
T load_little_endian(const void* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

template <class T>
void append_little_endian(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

}  // namespace uvic::formats
