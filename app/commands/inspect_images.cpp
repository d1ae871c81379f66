#include "app/commands/inspect_images.h"

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <stdexcept>
#include <vector>

#include "metrics/image_source.h"

namespace uvic::app {
namespace {

using nlohmann::json;

json class_rows(const std::vector<std::string>& names, const std::map<int64_t, int64_t>& counts) {
  auto rows = json::array();
  for (const auto& [label, count] : counts)
    rows.push_back({{"name",
                     label >= 0 && label < static_cast<int64_t>(names.size())
                         ? names[static_cast<size_t>(label)]
                         : fmt::format("{}", label)},
                    {"count", count}});
  return rows;
}

/// The sizes of this many images, spread over a set, from their headers.
metrics::SizeCounts sizes_of(const std::string& source) {
  constexpr int64_t kLookedAt = 1000;
  data::DatasetOptions options;
  options.image_size = 0;
  return metrics::survey_sizes(*metrics::open_images(source, options).images, kLookedAt);
}

}  // namespace

json images_json(const data::FileContainer& container, const std::string& source) {
  const auto sizes = sizes_of(source);
  const auto listing = data::list_images(container);
  std::map<int64_t, int64_t> counts;
  for (const auto label : listing.labels) ++counts[label];
  return {{"count", listing.files.size()},
          {"image_size", metrics::common_side(sizes)},
          {"sizes", metrics::sizes_text(sizes)},
          {"notes", listing.notes},
          {"bytes", listing.files.total_bytes()},
          {"labels", !listing.labels.empty()},
          {"classes", class_rows(listing.class_names, counts)}};
}

json cifar_json(const data::Cifar10& images) {
  std::map<int64_t, int64_t> counts;
  std::vector<uint8_t> planes(3 * 32 * 32);
  for (int64_t i = 0; i < images.size(); ++i) ++counts[images.read(i, planes.data())];
  return {{"count", images.size()},
          {"image_size", 32},
          {"labels", true},
          {"classes", class_rows(images.class_names(), counts)}};
}

json cifar_batch_json(const formats::MappedFile& file) {
  std::map<int64_t, int64_t> counts;
  // a byte of class before the 3072 of each image
  for (size_t at = 0; at < file.size(); at += 3073) ++counts[file.data()[at]];
  if (counts.rbegin()->first > 9)
    throw std::runtime_error(
        fmt::format("{}: not a batch of CIFAR-10's binary version: a record of class {}",
                    file.name(),
                    counts.rbegin()->first));
  return {{"count", file.size() / 3073},
          {"image_size", 32},
          {"labels", true},
          {"classes", class_rows({}, counts)}};
}

}  // namespace uvic::app
