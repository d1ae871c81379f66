#include "app/sampling/real_images.h"

#include <algorithm>
#include <deque>
#include <map>
#include <string>

#include "app/sampling/generate.h"
#include "app/sampling/image_grid.h"
#include "app/sampling/sample_folder.h"
#include "base/torch.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/json_fields.h"
#include "data/formats/make_folder.h"

namespace uvic::app {
namespace {

using Names = std::vector<std::string>;

/// The class of `dataset` for each class of the samples, by name; -1 without a class of that name.
std::vector<int64_t> matching_classes(const Names& samples, const Names& dataset) {
  std::vector<int64_t> classes;
  for (const auto& name : samples) {
    const auto found = std::find(dataset.begin(), dataset.end(), name);
    classes.push_back(found == dataset.end() ? -1 : found - dataset.begin());
  }
  return classes;
}

/// The seeds that wait for an image, by class of the data set. Without classes all are under -1.
std::map<int64_t, std::deque<uint64_t>> waiting_seeds(const std::vector<uint64_t>& seeds,
                                                      const std::vector<int64_t>& labels,
                                                      const std::vector<int64_t>& matches) {
  std::map<int64_t, std::deque<uint64_t>> waiting;
  for (size_t i = 0; i < seeds.size(); ++i) {
    if (labels.empty()) {
      waiting[-1].push_back(seeds[i]);
      continue;
    }
    const auto label = static_cast<size_t>(labels[i]);  // the null class has no name
    if (label < matches.size() && matches[label] >= 0) waiting[matches[label]].push_back(seeds[i]);
  }
  return waiting;
}

}  // namespace

void write_real_images(const data::Dataset& dataset,
                       const std::vector<uint64_t>& seeds,
                       const nlohmann::json& samples,
                       const std::filesystem::path& folder) {
  auto labels = labels_in_turn(seeds, formats::integers_field(samples, "classes", "samples.json"));
  const auto matches = matching_classes(
      formats::texts_field(samples, "class_names", "samples.json"), dataset.class_names());
  const bool labelled =
      !labels.empty() &&
      std::any_of(matches.begin(), matches.end(), [](int64_t match) { return match >= 0; });
  if (!labelled) labels.clear();
  auto waiting = waiting_seeds(seeds, labels, matches);

  formats::make_folder(folder);
  formats::write_json(folder / "real.json",
                      {{"source", dataset.describe()}, {"labelled", labelled}});
  const int64_t size = dataset.image_size();
  auto planes = torch::empty({1, 3, size, size}, torch::kUInt8);
  for (int64_t index = 0; index < dataset.size() && !waiting.empty(); ++index) {
    const int64_t label = dataset.read(index, planes.data_ptr<uint8_t>());
    const auto found = waiting.find(labelled ? label : -1);
    if (found == waiting.end()) continue;
    const auto path = sampled_image_path(folder, found->second.front());
    formats::make_folder(path.parent_path());
    formats::write_png(path, to_images(planes)[0]);
    found->second.pop_front();
    if (found->second.empty()) waiting.erase(found);
  }
}

}  // namespace uvic::app
