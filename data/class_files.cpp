#include "data/class_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "base/thread_loop.h"
#include "data/formats/file_error.h"
#include "data/formats/json.h"

namespace uvic::data {
namespace {

constexpr size_t kNamedImages = 3;  // images that a message names
constexpr uint64_t kLongest = 64;   // bytes of a number and its line end

std::optional<int32_t> parse_class(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return std::nullopt;
  const auto digits = text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
  int32_t value = -1;
  const auto* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc() || stop != end || value < 0 || value >= kMaxClasses) return std::nullopt;
  return value;
}

/// The value of the first of these keys, a number or a name; null: none of them.
nlohmann::json class_in(const FileContainer& container, const StoredFile& file) {
  constexpr uint64_t kMostBytes = uint64_t{1} << 20;
  if (file.size_bytes > kMostBytes) return {};
  const auto value = formats::try_parse_json(container.read(file));
  if (!value || !value->is_object()) return {};
  for (const auto* key : {"cls", "label", "class"}) {
    const auto found = value->find(key);
    if (found == value->end()) continue;
    const bool is_class = found->is_number_unsigned() && found->get<uint64_t>() < kMaxClasses;
    if (is_class || found->is_string()) return *found;
  }
  return {};
}

/// 0, 1, ... up to the highest label, or the container's names where they suffice.
void name_classes(const FileContainer& container, Listing& listing) {
  const auto highest = *std::max_element(listing.labels.begin(), listing.labels.end());
  listing.class_names = container.class_names();
  if (static_cast<int64_t>(listing.class_names.size()) > highest) return;
  listing.class_names.clear();
  for (int32_t c = 0; c <= highest; ++c) listing.class_names.push_back(std::to_string(c));
}

void number_names(const std::vector<nlohmann::json>& values, Listing& listing) {
  std::set<std::string> names;
  for (const auto& value : values) names.insert(value.get<std::string>());
  listing.class_names.assign(names.begin(), names.end());
  for (const auto& value : values)
    listing.labels.push_back(
        static_cast<int32_t>(std::distance(names.begin(), names.find(value.get<std::string>()))));
}

}  // namespace

bool label_by_json_files(const FileContainer& container,
                         const std::unordered_map<std::string, StoredFile>& files,
                         Listing& listing) {
  const auto of_image = [&](size_t i) -> const StoredFile* {
    const auto found = files.find(std::string(path_key(listing.files.path(i))));
    return found == files.end() ? nullptr : &found->second;
  };
  const auto* first = of_image(0);
  const auto kind = first ? class_in(container, *first) : nlohmann::json();
  if (kind.is_null()) return false;
  std::vector<nlohmann::json> values(listing.files.size());
  base::parallel_for(static_cast<int64_t>(values.size()), 0, [&](int64_t i) {
    const auto index = static_cast<size_t>(i);
    const auto* file = of_image(index);
    if (file) values[index] = class_in(container, *file);
    if (values[index].is_null() || values[index].is_string() != kind.is_string())
      throw formats::file_error(
          container.name(),
          fmt::format(
              "{} has no .json file with its class as \"cls\", \"label\" or \"class\", a {} "
              "as in {}",
              listing.files.path(index),
              kind.is_string() ? "name" : "number",
              first->path));
  });
  if (kind.is_string()) {
    number_names(values, listing);
    return true;
  }
  for (const auto& value : values) listing.labels.push_back(value.get<int32_t>());
  name_classes(container, listing);
  return true;
}

bool label_by_class_files(const FileContainer& container,
                          const std::unordered_map<std::string, StoredFile>& classes,
                          Listing& listing) {
  if (classes.empty()) return false;
  std::vector<const StoredFile*> files;
  std::vector<std::string_view> without;
  for (size_t i = 0; i < listing.files.size(); ++i) {
    const auto path = listing.files.path(i);
    const auto found = classes.find(std::string(path_key(path)));
    files.push_back(found == classes.end() ? nullptr : &found->second);
    if (!files.back()) without.push_back(path);
  }
  if (without.size() == files.size()) return false;
  if (!without.empty()) {
    const auto named = static_cast<std::ptrdiff_t>(std::min(without.size(), kNamedImages));
    throw formats::file_error(container.name(),
                              fmt::format("{} of {} images have no .cls file: {}{}",
                                          without.size(),
                                          files.size(),
                                          fmt::join(without.begin(), without.begin() + named, ", "),
                                          without.size() > kNamedImages ? ", ..." : ""));
  }
  listing.labels.resize(files.size());
  base::parallel_for(static_cast<int64_t>(files.size()), 0, [&](int64_t i) {
    const auto& file = *files[static_cast<size_t>(i)];
    const auto label =
        file.size_bytes <= kLongest ? parse_class(container.read(file)) : std::nullopt;
    if (!label)
      throw formats::file_error(
          container.name(),
          fmt::format("{} is not a class, want a number 0 to {}", file.path, kMaxClasses - 1));
    listing.labels[static_cast<size_t>(i)] = *label;
  });
  name_classes(container, listing);
  return true;
}

}  // namespace uvic::data
