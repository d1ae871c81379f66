// The message of what a call throws, to hold against the words that it must contain.
#pragma once

#include <stdexcept>
#include <string>

namespace uvic::test {

/// what() of the std::invalid_argument that `call` throws, "" if it throws none.
template <class Call>
std::string refusal(Call&& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace uvic::test
