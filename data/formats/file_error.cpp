#include "data/formats/file_error.h"

#include <algorithm>

namespace uvic::formats {

std::runtime_error file_error(std::string_view file, std::string_view text) {
  constexpr size_t kLongest = 1000;
  std::string line = std::string(file) + ": " + std::string(text.substr(0, kLongest));
  if (text.size() > kLongest) line += "...";
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return std::runtime_error(line);
}

}  // namespace uvic::formats
