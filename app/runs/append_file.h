// Text at the end of a file that only grows: stats.jsonl, log.txt, event files.
#pragma once

#include <filesystem>
#include <string_view>

namespace uvic::app {

/// Appends all of the text, or none of it and std::runtime_error that names the file; makes it
/// where it is absent. Waits for no reader of a FIFO.
void append_to_file(const std::filesystem::path& path, std::string_view text);

}  // namespace uvic::app
