// Options given by name: the error for an unknown one lists the known.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

namespace uvic::diffusion {

inline void check_name(const char* field,
                       const std::string& value,
                       const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), value) == known.end())
    throw std::invalid_argument(fmt::format(
        "{}: unknown value \"{}\"; give one of {}", field, value, fmt::join(known, ", ")));
}

}  // namespace uvic::diffusion
