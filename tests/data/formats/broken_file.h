// What every reader owes to a broken file: std::runtime_error, never a crash and no other
// exception.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "data/formats/mapped_file.h"
#include "tests/support/catch.h"

namespace uvic::test {

using ReadBytes = std::function<void(const std::shared_ptr<const formats::MappedFile>&)>;

/// Whether the reader took the bytes; a refusal is a runtime_error whose message begins with the
/// file's name.
inline bool is_taken(const std::string& bytes, const ReadBytes& read) {
  try {
    read(formats::MappedFile::from_bytes(bytes, "the-file"));
    return true;
  } catch (const std::runtime_error& error) {
    const std::string message = error.what();
    INFO(message);
    CHECK(message.rfind("the-file", 0) == 0);
    CHECK(message.find('\n') == std::string::npos);
    return false;
  }
}

/// Cuts the file at every length, and sets each byte in turn to 0, 0xff and its complement.
/// Returns how many of the shortened files were taken.
inline size_t survive_damage(const std::string& whole, const ReadBytes& read) {
  REQUIRE(is_taken(whole, read));
  size_t taken = 0;
  for (size_t size = 0; size < whole.size(); ++size) taken += is_taken(whole.substr(0, size), read);
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char byte : {'\0', '\xff', static_cast<char>(~whole[i])}) {
      std::string broken = whole;
      broken[i] = byte;
      is_taken(broken, read);
    }
  }
  return taken;
}

}  // namespace uvic::test
