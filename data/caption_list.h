// A list of captions or prompts in a file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace uvic::data {

/// A JSON list of texts, or a text file with one on each line (line ends of any system; an empty
/// line is an empty caption). Throws std::runtime_error that names the file, and the caption and
/// byte that is not UTF-8, and for a file without captions.
std::vector<std::string> read_caption_list(const std::filesystem::path& path);

}  // namespace uvic::data
