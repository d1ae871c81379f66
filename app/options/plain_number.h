// Numbers of the command line and of configs.
#pragma once

#include <string>

namespace uvic::app::detail {

/// Returns "", or an error unless `text` is a decimal number, inf or nan: no hexadecimal, no
/// spaces, no number so small that it would be read as 0.
std::string plain_number(std::string& text);

}  // namespace uvic::app::detail
