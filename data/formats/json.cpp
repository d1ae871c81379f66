#include "data/formats/json.h"

#include <fmt/format.h>

#include <set>
#include <stdexcept>
#include <vector>

#include "data/formats/atomic_file.h"
#include "data/formats/file_error.h"
#include "data/formats/mapped_file.h"

namespace uvic::formats {
namespace {

using nlohmann::json;

// nlohmann's own text is "[json.exception.parse_error.101] parse error at line 1, column 2: syntax
// error ...".
std::string reason(const json::exception& error) {
  const std::string text = error.what();
  const auto end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

}  // namespace

json parse_json(std::string_view text, const std::string& name, JsonLimits limits) {
  if (text.size() > limits.bytes) {
    throw file_error(name,
                     fmt::format("JSON of {} bytes, the limit is {}", text.size(), limits.bytes));
  }
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
        keys.emplace_back();
        [[fallthrough]];
      case json::parse_event_t::array_start:
        if (depth >= limits.depth) {
          throw file_error(name, fmt::format("JSON nested deeper than {} levels", limits.depth));
        }
        break;
      case json::parse_event_t::key:
        if (!keys.back().insert(parsed.get<std::string>()).second) {
          throw file_error(name,
                           fmt::format("JSON key {} stands twice in one object", parsed.dump()));
        }
        break;
      case json::parse_event_t::object_end:
        keys.pop_back();
        break;
      default:
        break;
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), check);
  } catch (const json::exception& error) {
    throw file_error(name, "not valid JSON: " + reason(error));
  }
}

json read_json(const std::filesystem::path& path, JsonLimits limits) {
  const auto file = MappedFile::open(path);
  return parse_json(
      {reinterpret_cast<const char*>(file->data()), file->size()}, file->name(), limits);
}

std::string format_json(const json& value) {
  return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

void write_json(const std::filesystem::path& path, const json& value) {
  write_file_atomically(path, format_json(value));
}

}  // namespace uvic::formats
