#include "data/dataset_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/formats/file_error.h"
#include "data/formats/json.h"

namespace uvic::data {
namespace {

/// [file, class] pairs by file. Throws std::runtime_error beginning with `name`.
std::unordered_map<std::string_view, int32_t> read_pairs(const nlohmann::json& labels,
                                                         const std::string& name) {
  const auto fail = [&](const std::string& what) { throw formats::file_error(name, what); };
  if (!labels.is_array())
    fail(fmt::format("labels is of type {}, want a list of [file, class] pairs or null",
                     labels.type_name()));
  std::unordered_map<std::string_view, int32_t> classes;
  for (const auto& pair : labels) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string())
      fail(fmt::format("labels holds {}, want [file, class] pairs",
                       formats::format_json(pair).substr(0, 60)));
    const auto& file = pair[0].get_ref<const std::string&>();
    if (!pair[1].is_number_integer())
      fail(
          fmt::format("the class of {} is of type {}, want an integer", file, pair[1].type_name()));
    if (pair[1] < 0 || pair[1] >= kMaxClasses)
      fail(fmt::format(
          "the class of {} is {}, want 0 to {}", file, pair[1].dump(), kMaxClasses - 1));
    if (!classes.emplace(file, pair[1].get<int32_t>()).second)
      fail(fmt::format("labels names {} twice", file));
  }
  return classes;
}

/// Numbers, or "class_names" where dataset.json has them.
std::vector<std::string> names_of_classes(const nlohmann::json& json,
                                          int32_t highest,
                                          const std::string& name) {
  std::vector<std::string> result;
  for (int32_t c = 0; c <= highest; ++c) result.push_back(std::to_string(c));
  const auto names = json.find("class_names");
  if (names == json.end() || !names->is_array()) return result;
  if (names->size() <= static_cast<size_t>(highest) ||
      names->size() > static_cast<size_t>(kMaxClasses))
    throw formats::file_error(
        name, fmt::format("{} class_names for the classes 0 to {}", names->size(), highest));
  result.resize(names->size());
  for (size_t c = 0; c < names->size(); ++c)
    result[c] = (*names)[c].is_string() ? (*names)[c].get<std::string>() : std::to_string(c);
  return result;
}

}  // namespace

void label_by_json(const FileContainer& container, const StoredFile& json_file, Listing& listing) {
  const std::string name = container.name() + "/" + json_file.path;
  const size_t prefix = json_file.path.size() - std::strlen("dataset.json");
  // A pair of a file takes three values; labels of as many files as ImageNet has may be of others.
  constexpr size_t kValuesOfOthers = size_t{1} << 22;
  formats::JsonLimits limits;
  limits.values = std::max(kValuesOfOthers, 4 * listing.files.size());
  // Before it is unpacked.
  if (json_file.size_bytes > limits.bytes)
    throw formats::file_error(
        name, fmt::format("JSON of {} bytes, the limit is {}", json_file.size_bytes, limits.bytes));
  const auto json = formats::parse_json(container.read(json_file), name, limits);
  if (!json.is_object()) throw formats::file_error(name, "want an object with \"labels\"");
  const auto labels = json.find("labels");
  if (labels == json.end() || labels->is_null()) return;
  auto classes = read_pairs(*labels, name);
  int32_t highest = 0;
  listing.labels.reserve(listing.files.size());
  for (size_t i = 0; i < listing.files.size(); ++i) {
    const auto path = listing.files.path(i).substr(prefix);
    const auto found = classes.find(path);
    if (found == classes.end())
      throw formats::file_error(name, fmt::format("labels lacks {}", path));
    listing.labels.push_back(found->second);
    highest = std::max(highest, found->second);
    classes.erase(found);
  }
  listing.class_names = names_of_classes(json, highest, name);
  if (classes.empty()) return;
  const auto first =
      std::min_element(classes.begin(), classes.end(), [](const auto& a, const auto& b) {
        return a.first < b.first;
      });
  listing.notes.push_back(
      fmt::format("dataset.json has labels of {} file{} that {} not there: {}{}",
                  classes.size(),
                  classes.size() == 1 ? "" : "s",
                  classes.size() == 1 ? "is" : "are",
                  first->first,
                  classes.size() > 1 ? ", ..." : ""));
}

}  // namespace uvic::data
