// Preconditions of callers: what a user or another program may get wrong.
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

/// The same; the message is formatted only where it is needed.
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
