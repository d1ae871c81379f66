#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace uvic::base {

/// RFC 4648, section 4: padded with "=", in one line.
std::string base64(const std::vector<uint8_t>& bytes);

}  // namespace uvic::base
