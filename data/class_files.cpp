#include "data/class_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

#include "base/thread_loop.h"
#include "data/formats/file_error.h"

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

}  // namespace

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
          fmt::format("{} is no class, want a number 0 to {}", file.path, kMaxClasses - 1));
    listing.labels[static_cast<size_t>(i)] = *label;
  });
  const auto highest = *std::max_element(listing.labels.begin(), listing.labels.end());
  for (int32_t c = 0; c <= highest; ++c) listing.class_names.push_back(std::to_string(c));
  return true;
}

}  // namespace uvic::data
