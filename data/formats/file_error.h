// The error of every reader: "file: what is wrong with it", in one line.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace uvic::formats {

/// Both may hold what strangers wrote: control characters become '?', and a long text is cut,
/// so that a file can't write on the user's terminal.
std::runtime_error file_error(std::string_view file, std::string_view text);

}  // namespace uvic::formats
