// JSON from strangers: nlohmann's parser, bounded, with the file's name in its messages.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace uvic::formats {

struct JsonLimits {
  size_t bytes = size_t{256} << 20;
  int depth = 64;
  size_t values = size_t{1} << 24;  ///< numbers, texts, lists, objects, ...; 16 to 100 bytes each
};

/// Time and memory are proportional to the text. Throws std::runtime_error that names `name`, and
/// the line and column of a fault, if the text is no JSON, holds a key twice in one object, or
/// exceeds the limits.
nlohmann::json parse_json(std::string_view text, const std::string& name, JsonLimits limits = {});
/// Nothing where parse_json throws.
std::optional<nlohmann::json> try_parse_json(std::string_view text, JsonLimits limits = {});
nlohmann::json read_json(const std::filesystem::path& path, JsonLimits limits = {});

/// Readable text (indented, invalid UTF-8 replaced), ending in a newline.
std::string format_json(const nlohmann::json& value);

/// format_json to a file, whole or not at all.
void write_json(const std::filesystem::path& path, const nlohmann::json& value);

}  // namespace uvic::formats
