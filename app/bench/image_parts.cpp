// The measurements of `uvic bench` for images: feature networks and loading.
#include <fmt/format.h>

#include <string>

#include "app/bench/alternate.h"
#include "app/bench/measurements.h"
#include "app/scoring/extractors.h"
#include "data/loader.h"

namespace uvic::app {
using nlohmann::json;
namespace {

void print_rate(const std::string& name, double images, const BenchTimes& times) {
  fmt::print("{:<40} {:>10.1f} {:>10.1f}\n", name, images / times.median, 1e3 * times.median);
}

}  // namespace

json bench_features(const Bench& bench) {
  constexpr int64_t kImages = 64;
  std::vector<std::pair<std::string, ExtractorChoice>> choices = {{"embedded", {}}};
  if (!bench.options.inception.empty())
    for (const char* precision : {"fp32", "bf16"}) {
      ExtractorChoice choice;
      choice.name = "inception";
      choice.inception = bench.options.inception;
      choice.precision = precision;
      choices.push_back({fmt::format("inception, {}", precision), choice});
    }
  const auto& model = bench.networks.front()->options().model;
  const auto images =
      torch::randint(0, 256, {kImages, 3, model.input().size, model.input().size}, torch::kUInt8);
  std::vector<std::unique_ptr<metrics::FeatureExtractor>> extractors;
  std::vector<BenchSide> sides;
  for (const auto& [name, choice] : choices) {
    extractors.push_back(open_extractor(choice, bench.device));
    sides.push_back(
        {name, [&images, extractor = extractors.back().get()] { extractor->extract(images); }});
  }
  const auto times = alternate(sides, bench.options.seconds);
  fmt::print("{:<40} {:>10} {:>10}\n",
             fmt::format("features of {0} x {0} px", model.input().size),
             "images/s",
             "ms");
  json rows = json::array();
  for (size_t i = 0; i < sides.size(); ++i) {
    print_rate(sides[i].name, kImages, times[i]);
    auto row = to_json(times[i]);
    row["extractor"] = sides[i].name;
    row["image_size"] = model.input().size;
    row["images_per_sec"] = kImages / times[i].median;
    rows.push_back(row);
  }
  return rows;
}

json bench_data(const Bench& bench) {
  constexpr int64_t kBatches = 16;
  auto dataset_options = bench.networks.front()->options().dataset;
  dataset_options.image_size = bench.networks.front()->options().model.input().size;
  const auto dataset = data::open_dataset(bench.options.data, dataset_options);
  data::LoaderOptions order;
  order.batch_size = bench.options.batch_size;
  order.augment = bench.networks.front()->options().augment;
  data::Loader loader(*dataset, order);
  const auto times = alternate({{"",
                                 [&] {
                                   for (int64_t i = 0; i < kBatches; ++i) loader.next();
                                 }}},
                               bench.options.seconds);
  const auto images = static_cast<double>(kBatches * order.batch_size);
  fmt::print("{:<40} {:>10} {:>10}\n", "loading", "images/s", "ms");
  print_rate(bench.options.data, images, times[0]);
  auto row = to_json(times[0]);
  row["data"] = bench.options.data;
  row["images_per_sec"] = images / times[0].median;
  return row;
}

}  // namespace uvic::app
