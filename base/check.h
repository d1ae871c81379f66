// Checks of values that come from a user or from another program.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace uvic::base {

/// Throws std::invalid_argument with the message unless `holds`.
inline void require(bool holds, const std::string& message) {
  if (!holds) throw std::invalid_argument(message);
}

/// The same; the message is formatted only if the check fails.
template <class First, class... Args>
void require(bool holds,
             fmt::format_string<First, Args...> message,
             First&& first,
             Args&&... args) {
  if (!holds)
    throw std::invalid_argument(
        fmt::format(message, std::forward<First>(first), std::forward<Args>(args)...));
}

}  // namespace uvic::base
