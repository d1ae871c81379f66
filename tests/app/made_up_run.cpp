#include "tests/app/made_up_run.h"

#include <algorithm>
#include <numeric>

namespace uvic::test {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr uint64_t kImagesInGrid = 40;
constexpr int64_t kLogImages = 2000;

// 8 columns of images on white, as a run's sample grids are.
formats::Image made_up_grid(const MadeUpRun& run, double quality) {
  constexpr int kColumns = 8, kPitch = 34;
  formats::Image grid{kColumns * kPitch, static_cast<int>(kImagesInGrid) / kColumns * kPitch, {}};
  grid.rgb.assign(static_cast<size_t>(grid.width) * grid.height * 3, 255);
  for (uint64_t seed = 0; seed < kImagesInGrid; ++seed) {
    const auto picture =
        made_up_image(static_cast<int64_t>(seed % run.class_names.size()), seed, quality);
    for (int y = 0; y < 32; ++y)
      std::copy_n(
          &picture.rgb[static_cast<size_t>(y) * 96],
          96,
          &grid.rgb[static_cast<size_t>(
              ((seed / kColumns * kPitch + y) * grid.width + seed % kColumns * kPitch) * 3)]);
  }
  return grid;
}

}  // namespace

void write_made_up_run(const fs::path& folder, const MadeUpRun& run) {
  fs::create_directories(folder / "grids");
  formats::write_file_atomically(
      folder / "config.toml",
      fmt::format("data = \"procedural\"\nout = \"{}\"\ntotal_images = {}\nbatch_size = 64\nseed = "
                  "{}\n\n[model]\nimg_size = 32\n"
                  "patch_size = 4\nembed_dim = 192\ndepth = 6\nnum_heads = 6\nnum_classes = "
                  "{}\nattention = \"{}\"\nplacement = \"inner\"\n",
                  folder.filename().string(),
                  run.total_images,
                  run.seed,
                  run.class_names.size(),
                  run.attention));
  const json provenance = {{"name", folder.filename().string()},
                           {"version", "0.1.0"},
                           {"device", "cpu"},
                           {"threads", 2},
                           {"precision", "bf16"},
                           {"data",
                            {{"describe", "50000 made-up images in 5 classes"},
                             {"fingerprint", "c0ffee"},
                             {"class_names", run.class_names}}},
                           {"parameters", run.parameters},
                           {"forward_gflop_per_image", 0.412},
                           {"total_images", run.total_images},
                           {"started", "2026-01-31T12:00:00Z"}};
  formats::write_file_atomically(folder / "run.json", provenance.dump());

  std::mt19937_64 random(run.seed + run.parameters);
  std::normal_distribution<double> noise(0, 0.04);
  std::string stats;
  for (int64_t seen = kLogImages; seen <= run.total_images; seen += kLogImages) {
    const double part = static_cast<double>(seen) / static_cast<double>(run.total_images);
    const double loss = (run.final_loss + 0.6 * std::exp(-14 * part)) * (1 + noise(random));
    stats += json{{"images_seen", seen},
                  {"step", seen / 64},
                  {"loss", loss},
                  {"lr", 2e-4},
                  {"grad_norm", 0.3},
                  {"images_per_sec", run.images_per_sec},
                  {"elapsed_sec", static_cast<double>(seen) / run.images_per_sec},
                  {"memory_mib", 812.0}}
                 .dump() +
             "\n";
    if (seen % (16 * kLogImages) == 0) {
      stats += json{{"images_seen", seen},
                    {"distance_name", "FD"},
                    {"distance", 40 * run.final_loss / 0.05 + 300 * std::exp(-6 * part)},
                    {"extractor", "embedded"}}
                   .dump() +
               "\n";
      if (run.images)
        formats::write_png(folder / "grids" / fmt::format("{:09d}.png", seen),
                           made_up_grid(run, 1 - 0.9 * std::exp(-3 * part)));
    }
  }
  formats::write_file_atomically(folder / "stats.jsonl", stats);
}

void write_made_up_samples(const fs::path& folder,
                           const MadeUpRun& run,
                           uint64_t count,
                           double quality) {
  fs::create_directories(folder);
  std::vector<int64_t> classes(run.class_names.size());
  std::iota(classes.begin(), classes.end(), 0);
  for (uint64_t seed = 0; run.images && seed < count; ++seed)
    formats::write_png(folder / fmt::format("{:06d}.png", seed),
                       made_up_image(classes[seed % classes.size()], seed, quality));
  const json record = {{"checkpoint", fmt::format("weights/{:09d}.safetensors", run.total_images)},
                       {"checkpoint_sha256", "feedface"},
                       {"images_seen", run.total_images},
                       {"sampler", "dpm_solver_pp"},
                       {"steps", 20},
                       {"guidance_scale", 1.0},
                       {"seeds", fmt::format("0-{}", count - 1)},
                       {"classes", classes},
                       {"class_names", run.class_names},
                       {"nfe", 20},
                       {"images_per_sec", 31.2},
                       {"precision", "bf16"}};
  formats::write_file_atomically(folder / "samples.json", record.dump());
}

json made_up_score(double distance, double std) {
  json metric = {{"name", "FD"}, {"value", distance}};
  if (std > 0) metric["std"] = std;
  return {{"metrics", {metric}},
          {"extractor", "embedded"},
          {"extractor_sha256", "ab12"},
          {"resize", "none"},
          {"images", {{"count", 2000}}},
          {"reference", {{"source", "procedural"}, {"count", 5000}}}};
}

}  // namespace uvic::test
