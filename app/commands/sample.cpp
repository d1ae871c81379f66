#include "app/commands/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>

#include "app/options/assets.h"
#include "app/options/options.h"
#include "app/runs/network_source.h"
#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"
#include "app/sampling/cuda_graph.h"
#include "app/sampling/draw.h"
#include "app/sampling/image_grid.h"
#include "app/sampling/input_images.h"
#include "app/sampling/sample_record.h"
#include "app/sampling/sample_sheet.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "base/text_format.h"
#include "data/formats/image_file.h"
#include "data/formats/safetensors.h"
#include "data/pixel_range.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kPicturesByDefault = 64;
constexpr int64_t kStepsToInvert = 100;

struct SeedPair {
  uint64_t from, to;
};

SeedPair parse_interpolation(const std::string& text) {
  SeedPair pair{};
  const auto *end = text.data() + text.size(), *dash = text.data() + text.find('-');
  const bool has_dash = text.find('-') != std::string::npos;
  const auto whole = [](const char* begin, const char* end, uint64_t& value) {
    const auto [stop, error] = std::from_chars(begin, end, value);
    return error == std::errc() && stop == end;
  };
  if (!has_dash || !whole(text.data(), dash, pair.from) || !whole(dash + 1, end, pair.to) ||
      pair.from == pair.to)
    throw std::invalid_argument(
        fmt::format("--interpolate {}: wants two different seeds, as 3-17", text));
  return pair;
}

DrawMode mode_of(const SampleOptions& options) {
  return !options.invert.empty() ? DrawMode::kInvert
         : !options.mask.empty() ? DrawMode::kInpaint
         : !options.init.empty() ? DrawMode::kImageToImage
                                 : DrawMode::kFresh;
}

/// What is drawn from, beside noise: pictures, masks, the other end of an interpolation; and the
/// class of each picture.
class Subject {
 public:
  Subject(const SampleOptions& options, const SampleSource& source) {
    const auto& model = source.training.model;
    classes_ = chosen_classes(options.labels, source);
    const auto& path = options.invert.empty() ? options.init : options.invert;
    if (!path.empty()) {
      if (model.input().channels != 3)
        throw std::invalid_argument(fmt::format(
            "{}: pictures have 3 channels, the network {}", path, model.input().channels));
      given_.emplace(path, model.input().size);
      if (options.labels.empty() && !classes_.empty()) take_classes_of_pictures(path, source);
    }
    if (!options.mask.empty()) read_masks(options.mask, model.input().size);
    if (!options.interpolate.empty()) {
      ends_ = parse_interpolation(options.interpolate);
      frames_ = options.frames;
      if (!options.labels.empty() && classes_.size() > 1)
        throw std::invalid_argument("--labels: all frames of --interpolate show one class");
      if (!classes_.empty()) classes_ = {classes_[ends_->from % classes_.size()]};
    }
  }

  /// The pictures to draw: seeds, or frames of the interpolation.
  std::vector<uint64_t> ids(const std::string& seeds) const {
    if (ends_) return numbers_below(static_cast<uint64_t>(frames_));
    if (!seeds.empty()) return parse_seeds(seeds);
    return numbers_below(
        given_ ? std::min<uint64_t>(kPicturesByDefault, static_cast<uint64_t>(given_->size()))
               : kPicturesByDefault);
  }
  const char* ids_key() const { return ends_ ? "frames" : "seeds"; }

  DrawRequest request(const std::vector<uint64_t>& ids) const {
    DrawRequest request;
    request.seeds = ids;
    if (ends_) {
      request.seeds.assign(ids.size(), ends_->from);
      request.towards.assign(ids.size(), ends_->to);
      for (const auto id : ids)
        request.way.push_back(static_cast<double>(id) / static_cast<double>(frames_ - 1));
    }
    request.labels = labels_in_turn(ids, classes_);
    std::vector<torch::Tensor> pictures, masks;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (given_) {
        const auto picture = given_->of_seed(ids[i]);
        pictures.push_back(data::to_network_range(picture.planes));
        if (!class_of_label_.empty())
          request.labels[i] = class_of_label_.at(static_cast<size_t>(picture.label));
      }
      if (masks_) masks.push_back(mask_of(ids[i]));
    }
    if (given_) request.given = torch::stack(pictures);
    if (masks_) request.mask = torch::stack(masks);
    return request;
  }

  void add_to(nlohmann::json& record, const SampleOptions& options, const DrawMode mode) const {
    record["classes"] = class_of_label_.empty() ? nlohmann::json(classes_)
                                                : nlohmann::json("those of the given pictures");
    if (given_) {
      const std::string name = mode == DrawMode::kInvert ? "invert" : "init";
      record[name] = name == "init" ? options.init : options.invert;
      record[name + "_fingerprint"] = given_->fingerprint();
      if (mode != DrawMode::kInvert) record["strength"] = options.strength;
    }
    if (masks_) {
      record["mask"] = options.mask;
      record["mask_fingerprint"] = masks_->fingerprint();
      record["repeats"] = options.repeats;
    }
    if (ends_) {
      record["interpolate"] = options.interpolate;
      record["interpolate_frames"] = frames_;
    }
  }

  bool has_given() const { return given_.has_value(); }
  formats::Image given(uint64_t id) const {
    return to_images(given_->of_seed(id).planes.unsqueeze(0))[0];
  }
  /// The given picture, paled to half where it is drawn anew.
  formats::Image kept(uint64_t id) const {
    const auto x = given_->of_seed(id).planes.to(torch::kFloat32);
    const auto mask = mask_of(id);
    const auto paled = x * (1 - mask) + (0.3 * x + 0.7 * 255) * mask;
    return to_images(paled.to(torch::kUInt8).unsqueeze(0))[0];
  }
  size_t class_count() const { return classes_.size(); }
  bool is_interpolation() const { return ends_.has_value(); }

 private:
  static std::vector<uint64_t> numbers_below(uint64_t count) {
    std::vector<uint64_t> numbers;
    for (uint64_t i = 0; i < count; ++i) numbers.push_back(i);
    return numbers;
  }

  // Given pictures keep the class that their folder names where the network knows it; else they
  // take the null class, which says nothing.
  void take_classes_of_pictures(const std::string& path, const SampleSource& source) {
    for (const auto& name : given_->class_names()) {
      const auto& known = source.class_names;
      const auto found = std::find(known.begin(), known.end(), name);
      if (found == known.end()) {
        class_of_label_.clear();
        break;
      }
      class_of_label_.push_back(found - known.begin());
    }
    if (!class_of_label_.empty()) return;
    if (!has_null_class(source.training))
      throw std::invalid_argument(fmt::format(
          "{}: in no folders named as the network's classes, and it knows no null class; give "
          "--labels",
          path));
    classes_ = {source.training.model.input().num_classes - 1};
  }

  void read_masks(const std::string& path, int64_t image_size) {
    masks_.emplace(path, image_size);
    if (masks_->size() != 1 && masks_->size() != given_->size())
      throw std::invalid_argument(
          fmt::format("--mask {}: {} masks for {} pictures; give one, or one for each",
                      path,
                      masks_->size(),
                      given_->size()));
    if (masks_->size() == 1 && mask_of(0).max().item<double>() == 0)
      throw std::invalid_argument(
          fmt::format("--mask {}: black all over; what is white is drawn anew", path));
  }

  torch::Tensor mask_of(uint64_t id) const {
    return masks_->of_seed(id).planes.to(torch::kFloat32).mean(0, /*keepdim=*/true) / 255;
  }

  std::vector<int64_t> classes_;         // dealt out by seed
  std::vector<int64_t> class_of_label_;  // of given pictures with classes of their own
  std::optional<GivenPictures> given_, masks_;
  std::optional<SeedPair> ends_;
  int64_t frames_ = 0;
};

// How far the reconstructions are from what was given, both in bytes. Read from the files, so that
// sittings need not remember.
nlohmann::json reconstruction_errors(const SampleFolder& folder, const Subject& subject) {
  nlohmann::json by_seed;
  double mean_square = 0, worst = 0;
  int64_t count = 0;
  for (const auto id : folder.drawn()) {
    const auto path = picture_path(folder.path(), id);
    if (!fs::exists(path)) continue;
    const auto given = subject.given(id), back = formats::read_image(path);
    double sum = 0;
    for (size_t i = 0; i < given.rgb.size(); ++i) {
      const double off = static_cast<double>(given.rgb[i]) - back.rgb.at(i);
      sum += off * off;
    }
    const double square = sum / static_cast<double>(given.rgb.size());
    by_seed[fmt::format("{}", id)] = std::sqrt(square);
    mean_square += square;
    worst = std::max(worst, std::sqrt(square));
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

formats::Image noise_image(const fs::path& path) {
  const auto noise = formats::read_safetensors(path).tensors.at("noise");
  return to_images(data::to_bytes(noise / noise.std()).unsqueeze(0))[0];
}

void write_sheet(const fs::path& out,
                 const std::vector<uint64_t>& ids,
                 const Subject& subject,
                 DrawMode mode) {
  const auto drawn = [&](uint64_t id) { return formats::read_image(picture_path(out, id)); };
  const auto given = [&](uint64_t id) { return subject.given(id); };
  const auto kept = [&](uint64_t id) { return subject.kept(id); };
  const auto noise = [&](uint64_t id) { return noise_image(noise_path(out, id)); };
  std::vector<SheetRow> rows;
  if (mode == DrawMode::kFresh) rows = {{"", drawn}};
  if (mode == DrawMode::kImageToImage) rows = {{"given", given}, {"drawn", drawn}};
  if (mode == DrawMode::kInpaint) rows = {{"given", given}, {"mask", kept}, {"drawn", drawn}};
  if (mode == DrawMode::kInvert) rows = {{"given", given}, {"noise", noise}, {"back", drawn}};
  const bool by_class = subject.class_count() >= 2 && subject.class_count() <= 16;
  const int columns = subject.is_interpolation()
                          ? static_cast<int>(std::min<size_t>(ids.size(), 16))
                      : mode != DrawMode::kFresh ? 10
                      : by_class                 ? static_cast<int>(subject.class_count())
                                                 : 8;
  formats::write_png(out / "grid.png", sample_sheet(ids, columns, rows));
}

// What lies beside a picture is written first, so that a picture that stands there is complete.
void write_pictures(const fs::path& out, const std::vector<uint64_t>& ids, const Drawing& drawing) {
  const auto pictures = to_images(drawing.images);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (drawing.noise.defined())
      formats::write_safetensors(noise_path(out, ids[i]),
                                 {{{"noise", drawing.noise[static_cast<int64_t>(i)]}}, {}});
    if (!drawing.trajectories.empty())
      formats::write_png(trajectory_path(out, ids[i]), film_strip(drawing.trajectories[i]));
    formats::write_png(picture_path(out, ids[i]), pictures[i]);
  }
}

bool stands_there(const fs::path& out, uint64_t id, const DrawSettings& settings) {
  return fs::exists(picture_path(out, id)) &&
         (settings.trajectory_frames == 0 || fs::exists(trajectory_path(out, id))) &&
         (settings.mode != DrawMode::kInvert || fs::exists(noise_path(out, id)));
}

void print_samplers() {
  fmt::print("Samplers (--sample.sampler NAME):\n");
  for (const auto& info : diffusion::samplers())
    fmt::print("  {:<18} {}\n  {:<18} {}{}; usual grid {}\n",
               info.name,
               info.help,
               "",
               info.paper,
               info.stochastic ? "; draws noise along the way" : "",
               info.default_grid);
  fmt::print("\nPublished recipes (--preset NAME):\n");
  for (const auto& preset : diffusion::sampler_presets())
    fmt::print("  {:<24} {}\n", preset.name, preset.help);
}

}  // namespace

void SampleOptions::validate() const {
  base::check_fields(*this);
  if (run.empty() && weights.empty())
    throw std::invalid_argument("sample: give --run FOLDER or --weights FILE");
  if (!run.empty() && !config.empty())
    throw std::invalid_argument(
        "sample: --config describes weights without a run; --run has its own");
  if (out.empty()) throw std::invalid_argument("--out: needed, the folder of the pictures");
  if (!init.empty() + !interpolate.empty() + !invert.empty() > 1)
    throw std::invalid_argument("--init, --interpolate, --invert: give one of them");
  if (!mask.empty() && init.empty())
    throw std::invalid_argument("--mask: needs --init, the pictures that it masks");
  if (!interpolate.empty() && !seeds.empty())
    throw std::invalid_argument("--interpolate names its two seeds; leave out --seeds");
  if (!guide_config.empty() && guide.empty())
    throw std::invalid_argument("--guide_config: needs --guide, the weights that it describes");
  sample.validate();
  guidance.validate();
}

bool run_sample(const SampleOptions& options) {
  options.validate();
  base::set_up_process(options.threads);
  base::catch_stop_signals();
  const torch::Device device(base::choose_device(options.device));
  const auto precision = base::resolve_precision(options.precision, device);
  const auto source = open_sample_source(options.run, options.weights, options.config);
  const Subject subject(options, source);
  const auto ids = subject.ids(options.seeds);

  DrawSettings settings{source.training.diffusion, options.sample, options.guidance};
  settings.mode = mode_of(options);
  settings.strength = options.strength;
  settings.repeats = options.repeats;
  settings.trajectory_frames = options.trajectory ? options.trajectory_frames : 0;
  settings.validate();
  if (options.guide.empty())
    check_guidance(options.guidance, source.training);
  else
    base::require(
        options.guidance.guidance_scale != 1,
        "--guide: with guidance_scale 1 it changes nothing; give --guidance_scale 2, say");
  std::optional<SampleSource> guide;
  if (!options.guide.empty()) {
    guide = open_guide(options.guide, options.guide_config, source);
    settings.guide = std::make_shared<Guide>(
        Guide{guide->network(device, base::compute_dtype(precision)), guide->training.diffusion});
  }
  auto network = source.network(device, base::compute_dtype(precision));

  const fs::path out(options.out);
  auto record = sample_record(source, guide, settings, precision);
  record["run"] = options.run;
  subject.add_to(record, options, settings.mode);
  SampleFolder folder(out, std::move(record), subject.ids_key());
  folder.open(ids, options.overwrite);
  std::vector<uint64_t> missing;
  for (const auto id : ids)
    if (options.overwrite || !stands_there(out, id, settings)) missing.push_back(id);
  folder.begin(ids);
  if (missing.size() < ids.size())
    fmt::print(
        stderr, "{} of {} pictures stand there already\n", ids.size() - missing.size(), ids.size());

  const KeepRecordings keep_recordings;
  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  size_t done = 0;
  const auto record_time = [&] { folder.add_time(static_cast<int64_t>(done), elapsed()); };
  try {
    base::ProgressLine line;
    while (done < missing.size()) {
      if (base::stop_requested()) throw base::StopRequested();
      const auto first = missing.begin() + static_cast<std::ptrdiff_t>(done);
      const auto count = std::min(missing.size() - done, static_cast<size_t>(options.batch_size));
      const std::vector<uint64_t> batch(first, first + static_cast<std::ptrdiff_t>(count));
      const auto drawing =
          draw(*network, settings, subject.request(batch), [&](int64_t step, int64_t steps) {
            if (base::stop_requested()) throw base::StopRequested();
            if (!line.is_due()) return;
            const double share =
                steps > 0 ? static_cast<double>(step) / static_cast<double>(steps) : 0;
            const double drawn =
                static_cast<double>(done) + share * static_cast<double>(batch.size());
            const double rate = drawn / elapsed();
            line.say(fmt::format(
                "{} of {} pictures, step {}{} of the next {}{}",
                done,
                missing.size(),
                step,
                steps > 0 ? fmt::format(" of {}", steps) : "",
                batch.size(),
                rate > 0 ? fmt::format("; {} images/s, {} left",
                                       base::significant(rate, 3),
                                       base::duration_text(
                                           (static_cast<double>(missing.size()) - drawn) / rate))
                         : ""));
          });
      write_pictures(out, batch, drawing);
      folder.add(batch);
      done += count;
    }
  } catch (const base::StopRequested&) {
    record_time();
    folder.finish(nlohmann::json::object());
    return false;
  }

  record_time();
  if (!missing.empty())
    fmt::print(stderr,
               "{} pictures in {:.1f} s, {:.2f} images/s\n",
               missing.size(),
               elapsed(),
               static_cast<double>(missing.size()) / elapsed());
  if (options.grid) write_sheet(out, ids, subject, settings.mode);
  nlohmann::json more = nlohmann::json::object();
  if (settings.mode == DrawMode::kInvert) {
    more["reconstruction"] = reconstruction_errors(folder, subject);
    fmt::print("reconstruction: RMSE {:.3f} of 255 (worst picture {:.3f})\n",
               more["reconstruction"]["rmse_of_255"].get<double>(),
               more["reconstruction"]["worst_rmse_of_255"].get<double>());
  }
  folder.finish(more);
  return true;
}

void add_sample_command(CLI::App& app) {
  auto given = std::make_shared<SampleOptions>();
  auto* command =
      app.add_subcommand("sample", "Draw pictures from a trained run, one PNG for each seed");
  add_fields(*command, *given);
  for (const auto& [option, needed] : {std::pair("--strength", "--init"),
                                       {"--repeats", "--mask"},
                                       {"--frames", "--interpolate"},
                                       {"--trajectory_frames", "--trajectory"}})
    command->get_option(option)->needs(command->get_option(needed));
  command->callback([given, command] {
    if (given->list) return print_samplers();
    // default < the training's config < what the mode wants < preset < command line
    SampleOptions options;
    if (!given->run.empty() || !given->weights.empty()) {
      const auto training = training_of_source(given->run, given->weights, given->config);
      options.sample = training.sample;
      options.guidance = training.guidance;
    }
    if (!given->mask.empty()) options.strength = 1;
    if (!given->invert.empty()) {
      // The first step away from a picture is the hard one: times must lie dense there.
      options.sample.grid = "logsnr";
      options.sample.steps = kStepsToInvert;
    }
    if (!given->preset.empty()) {
      const auto& preset = diffusion::sampler_presets().at(given->preset);
      options.sample = preset.config;
      options.guidance.guidance_scale = preset.guidance_scale;
    }
    if (!given->invert.empty()) options.guidance.guidance_scale = 1;
    apply_given(*command, options);
    try {
      if (run_sample(options)) return;
    } catch (const base::StopRequested&) {
    }
    fmt::print(stderr, "stopped; the same command draws what is missing\n");
  });
}

}  // namespace uvic::app
