#include "data/tokens/tokenizer_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "data/formats/file_error.h"
#include "data/unicode_text.h"

namespace uvic::data {

using nlohmann::json;

const std::string& byte_symbol(unsigned char byte) {
  static const auto symbols = [] {
    std::array<std::string, 256> all;
    char32_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool is_printable =
          (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
      append_utf8(is_printable ? static_cast<char32_t>(b) : next++, all[static_cast<size_t>(b)]);
    }
    return all;
  }();
  return symbols[byte];
}

FindMatches make_pattern(const json& pattern, const std::string& source) {
  const bool is_object = pattern.is_object() && pattern.size() == 1;
  if (is_object && pattern.contains("Regex") && pattern["Regex"].is_string()) {
    const auto regex = std::make_shared<Regex>(pattern["Regex"].get<std::string>(), source);
    return [regex](const std::string& text) { return regex->find_all(text); };
  }
  std::string wanted;
  if (pattern.is_string()) wanted = pattern.get<std::string>();
  if (is_object && pattern.contains("String") && pattern["String"].is_string())
    wanted = pattern["String"].get<std::string>();
  if (wanted.empty())
    throw formats::file_error(source,
                              fmt::format("the pattern {} is not understood", pattern.dump()));
  return [wanted](const std::string& text) {
    std::vector<TextRange> found;
    for (size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at)) {
      found.push_back({at, at + wanted.size()});
      at += wanted.size();
    }
    return found;
  };
}

std::string replace_matches(const std::string& text,
                            const std::vector<TextRange>& matches,
                            const std::string& content) {
  std::string result;
  size_t at = 0;
  for (const auto& match : matches) {
    result.append(text, at, match.begin - at).append(content);
    at = match.end;
  }
  return result.append(text, at, std::string::npos);
}

void require_keys(const json& part,
                  std::initializer_list<const char*> keys,
                  const std::string& source) {
  for (const auto& [key, value] : part.items())
    if (key != "type" && std::find(keys.begin(), keys.end(), key) == keys.end())
      throw formats::file_error(
          source, fmt::format("the setting {} of {} is not understood", key, part["type"].dump()));
}

bool bool_of(const json& part, const char* key, bool otherwise, const std::string& source) {
  if (!part.contains(key)) return otherwise;
  if (!part[key].is_boolean())
    throw formats::file_error(source,
                              fmt::format("{} is {}, want true or false", key, part[key].dump()));
  return part[key].get<bool>();
}

std::string text_of(const json& part, const char* key, const std::string& source) {
  if (!part.contains(key) || !part[key].is_string())
    throw formats::file_error(source,
                              fmt::format("{} lacks the text {}", part["type"].dump(), key));
  return part[key].get<std::string>();
}

}  // namespace uvic::data
