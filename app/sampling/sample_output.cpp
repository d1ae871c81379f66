#include "app/sampling/sample_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/sampling/image_grid.h"
#include "app/sampling/sample_sheet.h"
#include "data/formats/image_file.h"
#include "data/formats/make_folder.h"
#include "data/formats/safetensors.h"
#include "data/pixel_range.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMostOnSheet = 100;

/// The noise in `side` px; of a latent its first three channels, with larger cells.
formats::Image noise_image(const fs::path& path, int64_t side) {
  const auto noise = formats::read_safetensors(path).tensors.at("noise").slice(0, 0, 3);
  const auto cell = std::max<int64_t>(1, side / noise.size(1));
  const auto bytes =
      data::to_bytes(noise / noise.std()).repeat_interleave(cell, 1).repeat_interleave(cell, 2);
  return to_images(bytes.unsqueeze(0))[0];
}

/// Root of the mean squared difference of all bytes.
double rmse(const formats::Image& a, const formats::Image& b) {
  double sum = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) {
    const double off = static_cast<double>(a.rgb[i]) - b.rgb.at(i);
    sum += off * off;
  }
  return std::sqrt(sum / static_cast<double>(a.rgb.size()));
}

}  // namespace

void write_images(const fs::path& folder,
                  const std::vector<uint64_t>& ids,
                  const GeneratedImages& generated,
                  const std::function<std::vector<formats::ImageText>(size_t i)>& texts) {
  const auto images = to_images(generated.images);
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto path = sampled_image_path(folder, ids[i]);
    if (path.parent_path() != folder) formats::make_folder(path.parent_path());
    if (generated.noise.defined())
      formats::write_safetensors(noise_path(folder, ids[i]),
                                 {{{"noise", generated.noise[static_cast<int64_t>(i)]}}, {}});
    const auto said = texts(i);
    if (!generated.trajectories.empty())
      formats::write_png(
          trajectory_path(folder, ids[i]), film_strip(generated.trajectories[i]), said);
    formats::write_png(path, images[i], said);
  }
}

void write_sheet(const fs::path& folder, const SampleSubject& subject) {
  const auto sampled = [&](uint64_t id) {
    return formats::read_image(sampled_image_path(folder, id));
  };
  const auto given = [&](uint64_t id) { return subject.given(id); };
  const auto kept = [&](uint64_t id) { return subject.kept(id); };
  const auto noise = [&](uint64_t id) {
    return noise_image(noise_path(folder, id), given(id).width);
  };
  std::vector<SheetRow> rows;
  switch (subject.mode()) {
    case GenerationMode::kFromNoise:
      rows = {{"", sampled}};
      break;
    case GenerationMode::kImageToImage:
      rows = {{"given", given}, {"sample", sampled}};
      break;
    case GenerationMode::kInpaint:
      rows = {{"given", given}, {"mask", kept}, {"sample", sampled}};
      break;
    case GenerationMode::kInvert:
      rows = {{"given", given}, {"noise", noise}, {"back", sampled}};
      break;
  }
  const auto ids = subject.ids().slice(0, kMostOnSheet);
  const bool by_class = subject.class_count() >= 2 && subject.class_count() <= 16;
  const int columns = subject.is_interpolation()
                          ? static_cast<int>(std::min<size_t>(ids.size(), 16))
                      : subject.mode() != GenerationMode::kFromNoise ? 10
                      : by_class ? static_cast<int>(subject.class_count())
                                 : 8;
  std::function<std::string(uint64_t)> prompt;
  if (subject.has_prompts()) prompt = [&](uint64_t id) { return subject.prompt(id); };
  formats::write_png(folder / "grid.png", sample_sheet(ids, columns, rows, prompt));
}

nlohmann::json reconstruction_errors(const SampleFolder& folder, const SampleSubject& subject) {
  nlohmann::json by_seed;
  double mean_square = 0, worst = 0;
  int64_t count = 0;
  for (const auto& range : folder.generated().ranges())
    for (uint64_t id = range.first; id <= range.last; ++id) {
      const auto path = sampled_image_path(folder.path(), id);
      if (!fs::exists(path)) continue;
      const double error = rmse(subject.given(id), formats::read_image(path));
      by_seed[fmt::format("{}", id)] = error;
      mean_square += error * error;
      worst = std::max(worst, error);
      ++count;
    }
  mean_square /= static_cast<double>(std::max<int64_t>(1, count));
  return {{"rmse_of_255", std::sqrt(mean_square)},
          {"worst_rmse_of_255", worst},
          {"psnr_db",
           mean_square > 0 ? nlohmann::json(10 * std::log10(255.0 * 255.0 / mean_square))
                           : nlohmann::json()},
          {"rmse_of_255_by_seed", by_seed}};
}

}  // namespace uvic::app
