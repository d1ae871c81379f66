// gzip: a compressed file, unpacked whole through zlib.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace uvic::formats {

/// Whether the bytes begin as a gzip file does.
bool is_gzip(std::string_view bytes);

/// The unpacked bytes of all members of the file, checked against their CRC and length. Memory
/// grows with what is really there. Throws std::runtime_error naming `name` if the bytes are no
/// gzip, damaged, cut short, followed by anything else, or larger than the limit unpacked.
std::string gunzip(std::string_view bytes, const std::string& name, size_t limit_bytes);

}  // namespace uvic::formats
