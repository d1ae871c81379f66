#include "data/caption_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "data/formats/atomic_file.h"
#include "data/formats/file_error.h"
#include "data/formats/json.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

constexpr size_t kLargestList = size_t{1} << 30;  // bytes

std::vector<std::string> captions_of(const nlohmann::json& list, const std::string& name) {
  std::vector<std::string> captions;
  captions.reserve(list.size());
  for (const auto& caption : list) {
    if (!caption.is_string())
      throw formats::file_error(name,
                                fmt::format("caption {} is of type {}, want a list of texts",
                                            captions.size() + 1,
                                            caption.type_name()));
    captions.push_back(caption.get<std::string>());
  }
  return captions;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find_first_of("\r\n"), text.size());
    lines.emplace_back(text.substr(0, end));
    const bool is_pair = text.substr(end, 2) == "\r\n";
    text.remove_prefix(std::min(text.size(), end + (is_pair ? 2 : 1)));
  }
  return lines;
}

}  // namespace

std::vector<std::string> read_caption_list(const std::filesystem::path& path) {
  const auto name = path.string();
  const std::string text(without_mark(formats::read_file(path, kLargestList)));
  const auto first = text.find_first_not_of(" \t\r\n");
  std::vector<std::string> captions;
  if (first != std::string::npos && text[first] == '[') {
    // A line of text may begin with a bracket too.
    if (const auto list = formats::try_parse_json(text)) captions = captions_of(*list, name);
  }
  if (captions.empty()) captions = lines_of(text);
  if (captions.empty() || first == std::string::npos)
    throw formats::file_error(name,
                              "no captions; give a JSON list of texts or a text on each line");
  for (size_t i = 0; i < captions.size(); ++i)
    if (const auto bad = find_bad_utf8(captions[i]))
      throw formats::file_error(name,
                                fmt::format("caption {} is not UTF-8: byte {} is 0x{:02x}",
                                            i + 1,
                                            *bad,
                                            static_cast<unsigned char>(captions[i][*bad])));
  return captions;
}

}  // namespace uvic::data
