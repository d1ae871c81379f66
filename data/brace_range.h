// Shell-like ranges in the names of sets of files: train-{0000..0146}.tar.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace uvic::data {

/// The names that a pattern stands for, in order: {0000..0146} is each number from the first to the
/// last, with the zeros of the first; {a,b} is each of the texts. Several braces multiply. A text
/// without a complete brace is itself. Throws std::invalid_argument for more than `limit` names.
std::vector<std::string> expand_braces(const std::string& pattern, size_t limit = 16384);

}  // namespace uvic::data
