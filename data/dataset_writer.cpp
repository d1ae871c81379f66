#include "data/dataset_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/thread_loop.h"
#include "data/formats/image_file.h"
#include "data/formats/zip_writer.h"

namespace uvic::data {
namespace {

constexpr int64_t kAtOnce = 256;  // pictures between two calls of `progress`

/// 12345678 -> 12345/img12345678.png
std::string entry_name(int64_t index) {
  const auto digits = fmt::format("{:08}", index);
  return fmt::format("{}/img{}.png", digits.substr(0, 5), digits);
}

}  // namespace

void write_dataset_zip(const Dataset& dataset,
                       const std::filesystem::path& path,
                       const Progress& progress) {
  const int64_t total = dataset.size(), side = dataset.image_size(), plane = side * side;
  formats::ZipWriter zip(path);
  auto labels = nlohmann::json::array();
  std::vector<std::vector<uint8_t>> pngs(kAtOnce);
  std::vector<int64_t> classes(kAtOnce);

  for (int64_t begin = 0; begin < total; begin += kAtOnce) {
    const int64_t count = std::min(kAtOnce, total - begin);
    base::parallel_for(count, 0, [&](int64_t i) {
      std::vector<uint8_t> planes(3 * plane);
      classes[i] = dataset.read(begin + i, planes.data());
      formats::Image image{static_cast<int>(side), static_cast<int>(side), {}};
      image.rgb.resize(planes.size());
      for (int64_t p = 0; p < plane; ++p)
        for (int64_t c = 0; c < 3; ++c) image.rgb[3 * p + c] = planes[c * plane + p];
      pngs[i] = formats::encode_png(image);
    });
    for (int64_t i = 0; i < count; ++i) {
      const auto name = entry_name(begin + i);
      zip.add(name, {reinterpret_cast<const char*>(pngs[i].data()), pngs[i].size()});
      if (!dataset.class_names().empty()) labels.push_back({name, classes[i]});
    }
    if (progress) progress(begin + count, total);
  }

  nlohmann::json json;
  json["labels"] = nullptr;
  if (!dataset.class_names().empty()) {
    json["labels"] = std::move(labels);
    json["class_names"] = dataset.class_names();
  }
  zip.add("dataset.json", json.dump());
  zip.commit();
}

}  // namespace uvic::data
