// SHA-256 (FIPS 180-4): names weights and data sets in checkpoints and reports.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace uvic::formats {

/// The digest of bytes that come in pieces.
class Sha256 {
 public:
  void update(const void* bytes, size_t size_bytes);
  std::string hex();  ///< 64 hexadecimal digits; ends the digest

 private:
  void add_block(const uint8_t* block);

  std::array<uint32_t, 8> state_{0x6a09e667,
                                 0xbb67ae85,
                                 0x3c6ef372,
                                 0xa54ff53a,
                                 0x510e527f,
                                 0x9b05688c,
                                 0x1f83d9ab,
                                 0x5be0cd19};
  std::array<uint8_t, 64> pending_{};
  uint64_t size_bytes_ = 0;
};

std::string sha256_hex(std::string_view bytes);

/// Throws std::runtime_error naming the path if it can't be read.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace uvic::formats
