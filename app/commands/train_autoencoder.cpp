#include "app/commands/train_autoencoder.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "app/commands/test_set.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/latent_space.h"
#include "app/runs/version.h"
#include "app/training/trainer.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "data/formats/json.h"
#include "data/formats/output_file.h"
#include "data/loader.h"
#include "data/pixel_range.h"
#include "model/latent/autoencoder_file.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

using base::Clock;

fs::path state_of(const std::string& out) { return out + ".state"; }

/// What a state belongs to: every option that the weights depend on, and the images.
std::string recipe_of(TrainAutoencoderOptions options, const data::Dataset& dataset) {
  const TrainAutoencoderOptions defaults;
  options.out = options.test = "";
  options.overwrite = false;
  options.test_images = defaults.test_images;
  options.log_images = defaults.log_images;
  options.checkpoint_minutes = defaults.checkpoint_minutes;
  options.dtype = defaults.dtype;
  options.device = defaults.device;
  options.threads = defaults.threads;
  options.workers = defaults.workers;
  return to_toml(options) + "\n# " + dataset.fingerprint();
}

/// Mean |x - image| and PSNR of 8-bit images over images that are spread over a set.
void measure(AutoencoderTraining& training,
             const data::Dataset& test,
             int64_t count,
             torch::Device device,
             TrainAutoencoderResult& result) {
  constexpr int64_t kBatch = 50;
  const torch::NoGradGuard no_grad;
  count = std::min(count, test.size());
  double l1 = 0, squares = 0, numbers = 0;
  auto& net = training.net();
  for (int64_t i = 0; i < count; i += kBatch) {
    const auto images = data::read_spread(test, i, std::min(i + kBatch, count), count).images;
    const auto x = data::to_network_range(images).to(device);
    const auto back = net->image(net->moments(x).chunk(2, 1)[0]);
    l1 += (back - x).abs().sum().item<double>();
    const auto difference =
        data::to_bytes(back.cpu()).to(torch::kFloat64) - images.to(torch::kFloat64);
    squares += difference.square().sum().item<double>();
    numbers += static_cast<double>(images.numel());
  }
  result.test_l1 = l1 / numbers;
  result.test_psnr = 10 * std::log10(255.0 * 255.0 / std::max(squares / numbers, 1e-12));
}

/// The log's lines of what the state has seen: those after it are written again.
std::string lines_until(const std::string& path, int64_t images_seen) {
  std::ifstream file(path);
  std::string kept;
  for (std::string line; images_seen > 0 && std::getline(file, line);) {
    const auto parsed = formats::try_parse_json(line);
    if (!parsed || !parsed->is_object() || parsed->value("images_seen", int64_t{0}) > images_seen)
      break;
    kept += line + "\n";
  }
  return kept;
}

class Log {
 public:
  Log(const std::string& out, const AutoencoderTraining& training, int64_t total)
      : total_(total), images_(training.images_seen) {
    const auto kept = lines_until(out + ".jsonl", training.images_seen);
    file_.open(out + ".jsonl", std::ios::trunc);
    file_ << kept;
  }

  void add(const AutoencoderLoss& loss, int64_t images) {
    const auto weight = static_cast<double>(images);
    l1_ += weight * loss.l1, kl_ += weight * loss.kl, total_loss_ += weight * loss.total;
    since_ += images;
  }

  int64_t since() const { return since_; }

  /// Throws std::runtime_error where the loss is not finite.
  void write(const AutoencoderTraining& training, double learning_rate) {
    const auto n = static_cast<double>(since_);
    if (!std::isfinite(total_loss_))
      throw std::runtime_error(fmt::format(
          "train-autoencoder: the loss is not finite after {} images; lower --optimizer.lr",
          training.images_seen));
    const double seconds = base::seconds_since(begin_);
    const double rate = static_cast<double>(training.images_seen - images_) / seconds;
    base::say_progress(fmt::format("{} of {} images  L1 {:.4f}  KL {:.2f}  {:.0f} images/s",
                                   training.images_seen,
                                   total_,
                                   l1_ / n,
                                   kl_ / n,
                                   rate));
    const nlohmann::json line = {{"images_seen", training.images_seen},
                                 {"loss", total_loss_ / n},
                                 {"l1", l1_ / n},
                                 {"kl", kl_ / n},
                                 {"learning_rate", learning_rate},
                                 {"images_per_sec", rate}};
    file_ << line.dump() << std::endl;
    l1_ = kl_ = total_loss_ = 0, since_ = 0;
  }

 private:
  std::ofstream file_;
  int64_t total_, images_, since_ = 0;
  double l1_ = 0, kl_ = 0, total_loss_ = 0;
  Clock::time_point begin_ = Clock::now();
};

/// Begins with the weights of another autoencoder. Throws std::invalid_argument where its shape is
/// not that of the options.
void begin_with(const std::string& init,
                const model::AutoencoderKlConfig& config,
                AutoencoderTraining& training) {
  const auto file = model::open_autoencoder_file(autoencoder_path(init));
  base::require(file.config.text() == config.text() &&
                    file.config.norm_groups == config.norm_groups &&
                    file.config.mid_attention == config.mid_attention,
                "--init {}: {}, {} groups; model.* describes {}, {} groups",
                init,
                file.config.text(),
                file.config.norm_groups,
                config.text(),
                config.norm_groups);
  model::load_autoencoder(training.net(), file);
}

/// Loads OUT.state where there is one.
void resume(const std::string& out, const std::string& recipe, AutoencoderTraining& training) {
  const auto path = state_of(out);
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return;
  const auto recorded = training.load(path);
  const auto found = recorded.find("uvic.recipe");
  if (found == recorded.end() || found->second != recipe)
    throw std::runtime_error(fmt::format(
        "{}: from a training with other options or images; remove it or choose another --out",
        path.string()));
  base::say_progress(
      fmt::format("continues from {} at {} images", path.string(), training.images_seen));
}

/// Steps to the end, or until a signal asks to stop; states and log lines on the way.
void train(const TrainAutoencoderOptions& options,
           const data::Dataset& dataset,
           const std::string& recipe,
           AutoencoderTraining& training) {
  resume(options.out, recipe, training);
  data::LoaderOptions loading;
  loading.batch_size = options.batch_size;
  loading.seed = static_cast<uint64_t>(options.seed);
  loading.flip = options.flip;
  loading.workers = options.workers;
  data::Loader loader(dataset, loading, training.images_seen);
  Log log(options.out, training, options.total_images);
  auto line = base::CountProgress("trained", "images").of_terminal().from(training.images_seen);
  auto saved = Clock::now();
  const auto minutes = [&] { return base::seconds_since(saved) / 60; };
  while (training.images_seen < options.total_images) {
    const auto batch = loader.next();
    const double rate =
        learning_rate(options.optimizer, training.images_seen, options.total_images);
    log.add(training.step(batch, rate), batch.size());
    const bool ends = training.images_seen >= options.total_images;
    if (log.since() >= options.log_images || ends) log.write(training, rate);
    line.show(static_cast<double>(training.images_seen), options.total_images);
    const bool stops = base::stop_requested() != 0;
    if (!ends && (stops || minutes() >= options.checkpoint_minutes)) {
      training.save(state_of(options.out), {{"uvic.recipe", recipe}});
      saved = Clock::now();
    }
    if (stops) return;
  }
}

void print_result(const TrainAutoencoderOptions& options, const TrainAutoencoderResult& result) {
  if (result.images_seen < options.total_images) {
    fmt::print("stopped at {} images; the same command continues from {}\n",
               result.images_seen,
               state_of(options.out).string());
    return;
  }
  fmt::print("{}: scale factor {:.5g}", options.out, result.scaling_factor);
  if (result.test_l1 >= 0)
    fmt::print(", mean error {:.4f} of [-1, 1] and PSNR {:.1f} dB on held-out images",
               result.test_l1,
               result.test_psnr);
  fmt::print("\n");
}

}  // namespace

void TrainAutoencoderOptions::validate() const {
  base::require(!out.empty(), "train-autoencoder: --out is missing; give the autoencoder's file");
  base::require(fs::path(out).extension() == ".safetensors",
                "--out {}: want a name ending in .safetensors",
                out);
  base::check_fields(*this);
  optimizer.validate();
  dataset.validate();
  const auto config = model.config();
  base::require(dataset.image_size > 0 && dataset.image_size % config.downsampling() == 0,
                "dataset.image_size is {}; it must be a multiple of {}, the network's downsampling",
                dataset.image_size,
                config.downsampling());
}

TrainAutoencoderResult run_train_autoencoder(const TrainAutoencoderOptions& options) {
  options.validate();
  base::set_up_process(options.threads);
  const torch::Device device(base::choose_device(options.device));
  formats::refuse_same_file({options.out}, {options.data, options.test, options.init});
  formats::check_output_file(options.out, options.overwrite);
  formats::check_writable_file(state_of(options.out));
  const auto dataset = data::open_dataset(options.data, options.dataset);
  const auto test = open_test_set(options.test, options.data, options.dataset);
  auto config = options.model.config();
  AutoencoderTraining training(
      config, options.optimizer, options.kl_weight, static_cast<uint64_t>(options.seed), device);
  if (!options.init.empty()) begin_with(options.init, config, training);
  base::say_progress(fmt::format("{}; {}", dataset->describe(), config.text()));
  train(options, *dataset, recipe_of(options, *dataset), training);
  TrainAutoencoderResult result;
  result.images_seen = training.images_seen;
  if (result.images_seen < options.total_images) return result;

  if (options.dtype == "fp16") training.round_to_half();
  result.scaling_factor = measured_scaling_factor(training.net(), *dataset, 2000, device);
  config.scaling_factor = result.scaling_factor;
  std::map<std::string, std::string> metadata = {
      {"uvic.version", version_text()},
      {"uvic.trained_on", dataset->describe()},
      {"uvic.images_seen", fmt::format("{}", training.images_seen)}};
  if (test) {
    measure(training, *test, options.test_images, device, result);
    metadata["uvic.test_l1"] = fmt::format("{:.5f}", result.test_l1);
    metadata["uvic.test_psnr"] = fmt::format("{:.2f}", result.test_psnr);
  }
  model::save_autoencoder(options.out,
                          training.net(),
                          config,
                          options.dtype == "fp16" ? torch::kFloat16 : torch::kFloat32,
                          metadata);
  std::error_code ignored;
  fs::remove(state_of(options.out), ignored);
  return result;
}

void add_train_autoencoder_command(CLI::App& app) {
  auto options = std::make_shared<TrainAutoencoderOptions>();
  auto* command =
      app.add_subcommand("train-autoencoder", "Train a KL autoencoder on images, for latents");
  add_fields(*command, *options);
  command->callback([options] {
    const auto result = run_train_autoencoder(*options);
    print_result(*options, result);
    const auto where_measured = [&](double value) {
      return result.test_l1 >= 0 ? nlohmann::json(value) : nlohmann::json();
    };
    print_json({{"out", options->out},
                {"images_seen", result.images_seen},
                {"total_images", options->total_images},
                {"finished", result.images_seen >= options->total_images},
                {"scaling_factor", result.scaling_factor},
                {"test_l1", where_measured(result.test_l1)},
                {"test_psnr", where_measured(result.test_psnr)}});
  });
}

}  // namespace uvic::app
