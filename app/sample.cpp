#include "app/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "app/assets.h"
#include "app/image_grid.h"
#include "app/options.h"
#include "app/precision.h"
#include "app/run_dir.h"
#include "app/runtime.h"
#include "app/sampling.h"
#include "app/train.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/safetensors.h"
#include "data/formats/sha256.h"
#include "data/formats/torch_pickle.h"
#include "model/weights.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

// A network ready to draw, and how its training config says to draw from it.
struct Source {
  TrainOptions training;
  fs::path weights;
  model::NamedTensors tensors;
  std::vector<std::string> class_names;
  int64_t images_seen = 0;
};

Source open_source(const SampleOptions& options) {
  Source source;
  if (!options.run.empty()) {
    const RunDir run(options.run);
    read_toml(run.config(), source.training);
    source.weights = options.weights.empty() ? run.latest_weights() : fs::path(options.weights);
  } else {
    read_toml(find_config(options.config), source.training);
    source.weights = options.weights;
  }
  if (source.weights.extension() == ".safetensors") {
    const auto file = formats::read_safetensors(source.weights);
    source.tensors = file.tensors;
    if (const auto names = file.metadata.find("uvic.class_names"); names != file.metadata.end())
      source.class_names = formats::parse_json(names->second, source.weights.string())
                               .get<std::vector<std::string>>();
    if (const auto seen = file.metadata.find("uvic.images_seen"); seen != file.metadata.end())
      source.images_seen = std::atoll(seen->second.c_str());
  } else {
    source.tensors = formats::read_pth(source.weights);
  }
  return source;
}

// "3" or "cat,dog": the classes that --labels names, all of them where it is empty.
std::vector<int64_t> chosen_classes(const std::string& text, const Source& source) {
  const auto all = all_classes(source.training.model, source.training.label_dropout > 0);
  if (text.empty()) return all;
  if (all.empty())
    throw std::invalid_argument("--labels: the network takes no classes (model.num_classes is -1)");
  std::vector<int64_t> chosen;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    int64_t label = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), label);
    if (error != std::errc() || end != word.data() + word.size()) {
      const auto named = std::find(source.class_names.begin(), source.class_names.end(), word);
      if (named == source.class_names.end()) {
        const auto near = nearest(word, source.class_names);
        throw std::invalid_argument(
            fmt::format("--labels {}: no such class{}",
                        word,
                        near.empty() ? "" : "; did you mean " + near + "?"));
      }
      label = named - source.class_names.begin();
    }
    if (label < 0 || label >= static_cast<int64_t>(all.size()))
      throw std::invalid_argument(
          fmt::format("--labels {}: classes are 0 to {}", word, all.size() - 1));
    chosen.push_back(label);
  }
  return chosen;
}

// What two sittings must share for their pictures to stand in one folder.
nlohmann::json settings_record(const SampleOptions& options,
                               const Source& source,
                               const DrawSettings& settings,
                               const std::vector<int64_t>& classes,
                               const std::string& precision) {
  nlohmann::json sampler;
  auto sampler_config = settings.sampler;
  sampler_config.fields([&](const char* name, auto& field, const char*) { sampler[name] = field; });
  return {{"checkpoint", source.weights.string()},
          {"checkpoint_sha256", formats::sha256_file(source.weights)},
          {"images_seen", source.images_seen},
          {"sampler", settings.sampler.sampler},
          {"steps", settings.sampler.steps},
          {"nfe", diffusion::function_evaluations(settings.sampler)},
          {"sampler_options", sampler},
          {"guidance_scale", settings.guidance.guidance_scale},
          {"guidance_t_low", settings.guidance.guidance_t_low},
          {"guidance_t_high", settings.guidance.guidance_t_high},
          {"classes", classes},
          {"class_names", source.class_names},
          {"precision", precision},
          {"version", UVIC_VERSION},
          {"run", options.run}};
}

// Refuses a folder that holds pictures of other settings.
void check_folder(const fs::path& out, const nlohmann::json& record) {
  const auto path = out / "samples.json";
  if (!fs::exists(path)) return;
  const auto before = formats::read_json(path);
  for (const auto* key : {"checkpoint_sha256",
                          "sampler_options",
                          "guidance_scale",
                          "guidance_t_low",
                          "guidance_t_high",
                          "classes",
                          "precision"}) {
    if (before.value(key, nlohmann::json()) != record.at(key))
      throw std::invalid_argument(fmt::format(
          "{}: holds pictures drawn with another {}; choose another --out or pass --overwrite",
          out.string(),
          key));
  }
}

std::string seeds_text(const std::set<uint64_t>& seeds) {
  std::string text;
  for (auto i = seeds.begin(); i != seeds.end();) {
    const uint64_t first = *i;
    uint64_t last = first;
    while (++i != seeds.end() && *i == last + 1) last = *i;
    text += (text.empty() ? "" : ",") +
            (first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last));
  }
  return text;
}

void write_grid(const fs::path& out, const std::vector<uint64_t>& seeds, size_t classes) {
  std::vector<formats::Image> tiles;
  for (size_t i = 0; i < std::min<size_t>(seeds.size(), 100); ++i)
    tiles.push_back(formats::read_image(picture_path(out, seeds[i])));
  GridOptions grid;
  grid.columns = classes >= 2 && classes <= 16 ? static_cast<int>(classes) : 8;
  formats::write_png(out / "grid.png", image_grid(tiles, grid));
}

void print_samplers() {
  fmt::print("Samplers (--sample.sampler NAME):\n");
  for (const auto& info : diffusion::samplers())
    fmt::print("  {:<18} {}\n  {:<18} {}{}; usual grid {}\n",
               info.name,
               info.summary,
               "",
               info.paper,
               info.stochastic ? "; draws noise along the way" : "",
               info.default_grid);
  fmt::print("\nPublished recipes (--preset NAME):\n");
  for (const auto& preset : diffusion::sampler_presets())
    fmt::print("  {:<24} {}\n", preset.name, preset.summary);
}

}  // namespace

void SampleOptions::validate() const {
  if (run.empty() && (config.empty() || weights.empty()))
    throw std::invalid_argument("sample: give --run FOLDER, or --weights FILE with --config FILE");
  if (!run.empty() && !config.empty())
    throw std::invalid_argument(
        "sample: --config describes weights without a run; --run has its own");
  if (out.empty()) throw std::invalid_argument("--out: needed, the folder of the pictures");
  if (batch_size < 1)
    throw std::invalid_argument(fmt::format("--batch_size {}: above 0", batch_size));
  if (threads < 0)
    throw std::invalid_argument(fmt::format("--threads {}: 0 (all usable cores) or more", threads));
  sample.validate();
  guidance.validate();
}

std::vector<uint64_t> parse_seeds(const std::string& text) {
  const auto bad = [&] {
    return std::invalid_argument(
        fmt::format("--seeds {}: wants numbers and ranges, as 0-63,100", text));
  };
  const auto number = [&](const std::string& word) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (word.empty() || error != std::errc() || end != word.data() + word.size()) throw bad();
    return value;
  };
  std::vector<uint64_t> seeds;
  std::set<uint64_t> known;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    const auto dash = word.find('-');
    const auto first = number(word.substr(0, dash));
    const auto last = dash == std::string::npos ? first : number(word.substr(dash + 1));
    if (last < first || last - first >= 100'000'000) throw bad();
    for (uint64_t seed = first; seed <= last; ++seed)
      if (known.insert(seed).second) seeds.push_back(seed);
  }
  if (seeds.empty()) throw bad();
  return seeds;
}

fs::path picture_path(const fs::path& folder, uint64_t seed) {
  const auto name = fmt::format("{:06d}.png", seed);
  return seed < 10000 ? folder / name : folder / fmt::format("{:03d}", seed / 1000) / name;
}

bool run_sample(const SampleOptions& options) {
  options.validate();
  set_up_process(options.threads);
  catch_stop_signals();
  const torch::Device device(choose_device(options.device));
  const auto precision = resolve_precision(options.precision, device);
  const auto seeds = parse_seeds(options.seeds);
  const auto source = open_source(options);
  const auto classes = chosen_classes(options.labels, source);
  const DrawSettings settings{source.training.diffusion, options.sample, options.guidance};
  if (settings.guidance.guidance_scale != 1 && source.training.label_dropout == 0)
    throw std::invalid_argument(
        fmt::format("--guidance_scale {}: the network was trained without label_dropout and knows "
                    "no null class",
                    settings.guidance.guidance_scale));

  model::UViT network(source.training.model);
  model::load_weights(*network, source.tensors, source.weights.string());
  network->to(device);
  network->set_compute_dtype(compute_dtype(precision));
  network->eval();

  const fs::path out(options.out);
  auto record = settings_record(options, source, settings, classes, precision);
  if (!options.overwrite) check_folder(out, record);
  std::error_code error;
  fs::create_directories(out, error);
  if (error)
    throw std::runtime_error(fmt::format("{}: can't be made: {}", out.string(), error.message()));

  std::set<uint64_t> drawn;
  if (!options.overwrite && fs::exists(out / "samples.json"))
    for (const auto seed :
         parse_seeds(formats::read_json(out / "samples.json").at("seeds").get<std::string>()))
      if (fs::exists(picture_path(out, seed))) drawn.insert(seed);
  std::vector<uint64_t> missing;
  for (const auto seed : seeds) {
    drawn.insert(seed);
    if (options.overwrite || !fs::exists(picture_path(out, seed))) missing.push_back(seed);
  }
  record["seeds"] = seeds_text(drawn);
  record["finished"] = false;
  formats::write_json(out / "samples.json", record);
  if (missing.size() < seeds.size())
    fmt::print(stderr,
               "{} of {} pictures stand there already\n",
               seeds.size() - missing.size(),
               seeds.size());

  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  auto said = Clock::now();
  for (size_t first = 0; first < missing.size() && !stop_requested();
       first += static_cast<size_t>(options.batch_size)) {
    const auto last = std::min(missing.size(), first + static_cast<size_t>(options.batch_size));
    const std::vector<uint64_t> batch(missing.begin() + static_cast<std::ptrdiff_t>(first),
                                      missing.begin() + static_cast<std::ptrdiff_t>(last));
    const auto images = draw(
        network, settings, batch, labels_in_turn(batch, classes), [&](int64_t step, int64_t steps) {
          if (stop_requested()) throw StopRequested();
          if (Clock::now() - said < std::chrono::seconds(5)) return;
          said = Clock::now();
          fmt::print(stderr,
                     "{} of {} pictures, step {} of {} of the next {}\n",
                     first,
                     missing.size(),
                     step,
                     steps,
                     batch.size());
        });
    const auto pictures = to_images(images);
    for (size_t i = 0; i < batch.size(); ++i) {
      const auto path = picture_path(out, batch[i]);
      if (batch[i] >= 10000) fs::create_directories(path.parent_path());
      formats::write_png(path, pictures[i]);
    }
  }
  if (stop_requested()) return false;

  if (!missing.empty()) {
    record["seconds"] = elapsed();
    record["images_per_sec"] = static_cast<double>(missing.size()) / elapsed();
    fmt::print(stderr,
               "{} pictures in {:.1f} s, {:.2f} images/s\n",
               missing.size(),
               elapsed(),
               static_cast<double>(missing.size()) / elapsed());
  }
  record["finished"] = true;
  if (options.grid) write_grid(out, seeds, classes.size());
  formats::write_json(out / "samples.json", record);
  return true;
}

void add_sample_command(CLI::App& app) {
  auto given = std::make_shared<SampleOptions>();
  auto* command =
      app.add_subcommand("sample", "Draw pictures from a trained run, one PNG for each seed");
  add_fields(*command, *given);
  command->callback([given, command] {
    if (given->list) return print_samplers();
    // default < the run's own config < preset < command line
    SampleOptions options;
    const auto config = !given->run.empty()      ? RunDir(given->run).config()
                        : !given->config.empty() ? find_config(given->config)
                                                 : fs::path();
    if (!config.empty()) {
      TrainOptions training;
      read_toml(config, training);
      options.sample = training.sample;
      options.guidance = training.guidance;
    }
    if (!given->preset.empty()) {
      const auto& preset = diffusion::sampler_preset(given->preset);
      options.sample = preset.config;
      options.guidance.guidance_scale = preset.guidance_scale;
    }
    apply_given(*command, options);
    try {
      run_sample(options);
    } catch (const StopRequested&) {
      fmt::print(stderr, "stopped; the same command draws what is missing\n");
    }
  });
}

}  // namespace uvic::app
