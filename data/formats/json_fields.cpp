#include "data/formats/json_fields.h"

#include <fmt/format.h>

#include <limits>

#include "data/formats/file_error.h"
#include "data/formats/json.h"

namespace uvic::formats {
namespace {

using nlohmann::json;

/// The value, or null: absent.
const json* find_field(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

[[noreturn]] void refuse(const json& value,
                         const std::string& key,
                         const char* wanted,
                         const std::string& file) {
  throw file_error(
      file, fmt::format("\"{}\": it is of type {}, want {}", key, value.type_name(), wanted));
}

bool is_int64(const json& value) {
  return value.is_number_integer() &&
         (!value.is_number_unsigned() ||
          value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
}

std::vector<std::string> texts_in(const json& list,
                                  const std::string& key,
                                  const std::string& file) {
  if (!list.is_array()) refuse(list, key, "a list of texts", file);
  std::vector<std::string> texts;
  texts.reserve(list.size());
  for (const auto& item : list) {
    if (!item.is_string()) refuse(item, key, "a list of texts", file);
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

}  // namespace

std::string text_field(const json& object,
                       const char* key,
                       const std::string& otherwise,
                       const std::string& file) {
  const auto* value = find_field(object, key);
  if (!value) return otherwise;
  if (!value->is_string()) refuse(*value, key, "a text", file);
  return value->get<std::string>();
}

bool flag_field(const json& object, const char* key, bool otherwise, const std::string& file) {
  const auto* value = find_field(object, key);
  if (!value) return otherwise;
  if (!value->is_boolean()) refuse(*value, key, "true or false", file);
  return value->get<bool>();
}

double number_field(const json& object,
                    const char* key,
                    double otherwise,
                    const std::string& file) {
  const auto* value = find_field(object, key);
  if (!value) return otherwise;
  if (!value->is_number()) refuse(*value, key, "a number", file);
  return value->get<double>();
}

int64_t integer_field(const json& object,
                      const char* key,
                      int64_t otherwise,
                      const std::string& file) {
  const auto* value = find_field(object, key);
  if (!value) return otherwise;
  if (!is_int64(*value)) refuse(*value, key, "an integer below 2^63", file);
  return value->get<int64_t>();
}

std::vector<std::string> texts_field(const json& object, const char* key, const std::string& file) {
  const auto* value = find_field(object, key);
  return value ? texts_in(*value, key, file) : std::vector<std::string>();
}

std::vector<int64_t> integers_field(const json& object, const char* key, const std::string& file) {
  const auto* value = find_field(object, key);
  if (!value) return {};
  if (!value->is_array()) refuse(*value, key, "a list of integers", file);
  std::vector<int64_t> numbers;
  for (const auto& item : *value) {
    if (!is_int64(item)) refuse(item, key, "a list of integers below 2^63", file);
    numbers.push_back(item.get<int64_t>());
  }
  return numbers;
}

void refuse_json(const json::exception& error, const std::string& file) {
  // nlohmann's text is "[json.exception.type_error.302] type must be string, but is number".
  const std::string text = error.what();
  const auto end = text.find("] ");
  throw file_error(file,
                   "a value is not what belongs there: " +
                       (end == std::string::npos ? text : text.substr(end + 2)));
}

std::vector<std::string> parse_texts(const std::string& text,
                                     const std::string& file,
                                     const std::string& what) {
  return texts_in(parse_json(text, file), what, file);
}

}  // namespace uvic::formats
