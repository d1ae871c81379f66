// Parts of a tokenizer.json by the name in their "type".
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/table.h"
#include "data/formats/file_error.h"

namespace uvic::data {

/// A row: how a part of that type is made.
template <class Part>
struct PartKind {
  const char* name;
  const char* help;
  Part (*make)(const nlohmann::json& part, const std::string& source);
};

/// The part that `table` makes. Throws std::runtime_error that names its type where none does.
template <class Part>
Part make_named_part(const base::Table<PartKind<Part>>& table,
                     const char* what,
                     const nlohmann::json& part,
                     const std::string& source) {
  if (!part.is_object() || !part.contains("type") || !part["type"].is_string())
    throw formats::file_error(source, fmt::format("its {} has no type", what));
  const auto* kind = table.find(part["type"].get<std::string>());
  if (!kind)
    throw formats::file_error(
        source, fmt::format("the {} {} is not understood", what, part["type"].dump()));
  return kind->make(part, source);
}

/// The list under `key`. Throws where there is none.
inline const nlohmann::json& parts_of(const nlohmann::json& part,
                                      const char* key,
                                      const std::string& source) {
  if (!part.contains(key) || !part[key].is_array())
    throw formats::file_error(source, fmt::format("a Sequence without its list {}", key));
  return part[key];
}

/// The parts one after the other.
template <class Part>
Part in_sequence(std::vector<Part> parts) {
  return [parts = std::move(parts)](auto value) {
    for (const auto& part : parts) value = part(std::move(value));
    return value;
  };
}

}  // namespace uvic::data
