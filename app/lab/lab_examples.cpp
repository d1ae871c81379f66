#include "app/lab/lab_examples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <set>

#include "app/training/image_diffusion.h"
#include "app/training/training_data.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/list_text.h"
#include "data/loader.h"
#include "model/class_tokens.h"

namespace uvic::app {
namespace {

constexpr uint64_t kLabStream = 0x6c6162;  // "lab"

/// The config as the data is opened with it: nothing random but the order.
RunConfig without_chance(RunConfig config, const std::string& data) {
  base::require(model::class_tokens(config.model) == 0,
                "attention: its statistics know the label, time and patches, and no class tokens "
                "(model.class_tokens {})",
                model::class_tokens(config.model));
  config.data = data;
  config.flip = false;
  return config;
}

RunConfig without_dropout(RunConfig config) {
  config.label_dropout = 0;
  return config;
}

}  // namespace

struct LabExamples::State {
  State(const RunConfig& given, const std::string& data, uint64_t seed_of_all, torch::Device on)
      : config(without_chance(given, data)),
        seed(seed_of_all),
        device(on),
        opened(open_training_data(config, on)),
        objective(without_dropout(config), opened.inputs),
        schedule(diffusion::make_noise_schedule(config.diffusion)) {}

  RunConfig config;
  uint64_t seed;
  torch::Device device;
  TrainingData opened;
  ImageDiffusion objective;
  std::shared_ptr<const diffusion::NoiseSchedule> schedule;
};

LabExamples::LabExamples(const RunConfig& config,
                         const std::string& data,
                         uint64_t seed,
                         torch::Device device)
    : state_(std::make_unique<State>(config, data, seed, device)) {}
LabExamples::~LabExamples() = default;

int64_t LabExamples::size() const { return state_->opened.dataset->size(); }
std::string LabExamples::describe() const { return state_->opened.dataset->describe(); }
std::string LabExamples::fingerprint() const { return state_->opened.dataset->fingerprint(); }

struct LabExamples::Reader::State {
  explicit State(const LabExamples::State& examples) : of(examples) {}
  const LabExamples::State& of;
  std::optional<data::Loader> loader{};
};

LabExamples::Reader::Reader(const LabExamples& examples)
    : state_(std::make_unique<State>(*examples.state_)) {}
LabExamples::Reader::~Reader() = default;

LabExamples::Batch LabExamples::Reader::next(int64_t count) {
  const auto& of = state_->of;
  auto& loader = state_->loader;
  if (!loader) {
    data::LoaderOptions options;
    options.batch_size = count;
    options.seed = of.seed;
    options.flip = false;
    options.workers = 0;
    loader.emplace(*of.opened.dataset, options);
  }
  const torch::NoGradGuard no_grad;
  const auto read = loader->next().slice(0, count);
  const auto prepared = of.objective.prepare(read.to(of.device));
  Batch batch;
  batch.x0 = of.objective.clean_images(prepared);
  batch.condition = of.objective.condition(prepared);
  const base::PositionRandom random(base::hash2(of.seed, kLabStream), prepared.positions);
  batch.positions = read.positions;
  if (read.tokens.defined()) batch.text = read.tokens;
  batch.eps = random.normals(base::RandomUse::kNoise, batch.x0.sizes().slice(1));
  if (read.images.scalar_type() == torch::kUInt8) batch.images = read.images;
  return batch;
}

diffusion::TrainingExample LabExamples::at(const Batch& batch, double fraction) const {
  const auto& schedule = *state_->schedule;
  const double t = std::min(schedule.time_at_fraction(fraction), schedule.t_max());
  const auto times = torch::full({batch.x0.size(0)}, t, batch.x0.options().dtype(torch::kFloat64));
  return diffusion::make_example_at(state_->config.diffusion, schedule, batch.x0, times, batch.eps);
}

std::vector<std::string> LabExamples::words(const Batch& batch, int64_t i) const {
  const auto& opened = state_->opened;
  if (!batch.text.defined() || !opened.inputs.text) return {};
  const auto row = batch.text[i].contiguous();
  const std::vector<int64_t> ids(row.data_ptr<int64_t>(), row.data_ptr<int64_t>() + row.numel());
  const auto at =
      data::image_at(opened.dataset->size(), state_->seed, batch.positions[i].item<int64_t>());
  // Of several captions the one that has these tokens.
  for (const auto& caption : opened.dataset->captions(at))
    if (opened.inputs.text->tokenize(caption) == ids) return opened.inputs.text->pieces(caption);
  return {};
}

torch::Tensor LabExamples::losses(const torch::Tensor& prediction,
                                  const diffusion::TrainingExample& example) const {
  return diffusion::diffusion_losses(state_->config.diffusion, prediction, example)
      .to(torch::kCPU, torch::kFloat64);
}

std::vector<int64_t> parse_numbers(const std::string& flag,
                                   const std::string& text,
                                   int64_t count) {
  return base::parse_ranges("--" + flag,
                            text == "all" ? fmt::format("0-{}", count - 1) : text,
                            count,
                            "give all, or numbers and ranges such as 0-3,7");
}

std::vector<double> parse_times(const std::string& text) {
  const auto require = [&](bool is_right) {
    base::require(is_right,
                  "--timesteps {}: give fractions of the schedule from 0 (data) to 1 (noise), such "
                  "as 0.1,0.5,0.9",
                  text);
  };
  std::set<double> times;
  for (const auto& item : base::list_items(text)) {
    char* end = nullptr;
    const double value = std::strtod(item.c_str(), &end);
    require(!item.empty() && *end == '\0' && value >= 0 && value <= 1);
    times.insert(value);
  }
  require(!times.empty());
  return {times.begin(), times.end()};
}

}  // namespace uvic::app
