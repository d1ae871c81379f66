#include "app/commands/attention.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include "app/lab/ablation.h"
#include "app/lab/attention_lab.h"
#include "app/lab/attention_page.h"
#include "app/lab/gradients.h"
#include "app/lab/lab_output.h"
#include "app/lab/lab_tables.h"
#include "app/lab/sequence_feed.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/checkpoint_list.h"
#include "app/runs/network_source.h"
#include "app/runs/run_dir.h"
#include "app/runs/sequence_tokenizer.h"
#include "base/check.h"
#include "base/list_text.h"
#include "base/precision.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/make_folder.h"
#include "data/formats/xxh64.h"
#include "data/tokens/token_loader.h"
#include "model/kernel_choice.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

constexpr const char* kUsualTimes = "0.1,0.3,0.5,0.7,0.9";

/// A network to look at: the run (or nothing) and the weights.
struct LabSource {
  std::string name, run, weights;
  int64_t images_seen = 0;
};

std::string name_of_path(const std::string& path) {
  const fs::path clean = fs::path(path).lexically_normal();
  const auto last = clean.filename().empty() ? clean.parent_path().filename() : clean.filename();
  return last.empty() ? path : last.string();
}

/// --name, or what the paths end in; the whole paths where two end alike.
std::vector<std::string> source_names(const AttentionOptions& options) {
  if (!options.name.empty()) return options.name;
  auto paths = options.run;
  paths.insert(paths.end(), options.weights.begin(), options.weights.end());
  std::vector<std::string> names;
  for (const auto& path : paths) names.push_back(name_of_path(path));
  const std::set<std::string> different(names.begin(), names.end());
  if (different.size() == names.size()) return names;
  base::require(std::set<std::string>(paths.begin(), paths.end()).size() == paths.size(),
                "attention: the same --run or --weights is given twice");
  return paths;
}

std::vector<LabSource> sources_of(const AttentionOptions& options) {
  std::vector<LabSource> sources;
  const auto names = source_names(options);
  size_t place = 0;
  const auto next_name = [&] { return names[place++]; };
  for (const auto& run : options.run) {
    const auto name = next_name();
    for (const auto& file : chosen_checkpoints(RunDir(run), options.checkpoints))
      sources.push_back({name, run, file.path.string(), file.images_seen});
  }
  for (const auto& weights : options.weights) sources.push_back({next_name(), "", weights, 0});
  return sources;
}

/// The names of ablations() that --ablate asks for.
std::vector<std::string> chosen_ablations(const std::string& text) {
  if (text == "none") return {};
  if (text == "all") return ablations().names();
  std::vector<std::string> chosen;
  for (const auto& item : base::list_items(text)) {
    base::require(ablations().find(item) != nullptr,
                  "--ablate {}: give none, all, or a list of {}",
                  text,
                  fmt::join(ablations().names(), ", "));
    if (std::find(chosen.begin(), chosen.end(), item) == chosen.end()) chosen.push_back(item);
  }
  return chosen;
}

/// Everything of one source that is decided before it is looked at.
struct Opened {
  LabSource source;
  SampleSource network;
  int64_t block_count;
  std::vector<int64_t> blocks, heads;  ///< those that are looked at: choose_parts()
};

/// By the official names, which are a file format.
int64_t attention_blocks(const model::NamedTensors& tensors) {
  return std::count_if(tensors.begin(), tensors.end(), [](const auto& item) {
    return base::ends_with(item.first, ".attn.qkv.weight") ||
           base::ends_with(item.first, ".self_attn.o_proj.weight");
  });
}

bool takes_tokens(const Opened& opened) {
  return opened.network.training.model.input().takes_tokens();
}

/// What is given must have a meaning for the network.
void check_options_of(const AttentionOptions& options, const Opened& opened) {
  const auto& weights = opened.source.weights;
  if (!takes_tokens(opened)) {
    base::require(!options.data.empty(),
                  "--data is missing; give the images that the networks see");
    base::require(options.positions.empty() && options.length == 0,
                  "{}: a network of images; --{} is for language models, images have --timesteps",
                  weights,
                  options.positions.empty() ? "length" : "positions");
    return;
  }
  const auto& kind = opened.network.training.model.kind;
  base::require(
      kind == "decoder_lm",
      "{}: a network of kind {}; uvic attention analyses networks of images and decoder_lm",
      weights,
      kind);
  base::require(options.timesteps.empty(),
                "{}: a language model; --timesteps is for networks of images, it has --positions",
                weights);
}

Opened open_source(const AttentionOptions& options, const LabSource& source) {
  Opened opened{source, open_sample_source(source.run, source.weights, options.config), 0, {}, {}};
  opened.network.training.model.keep_activations();
  if (source.images_seen == 0) opened.source.images_seen = opened.network.images_seen;
  opened.block_count = attention_blocks(opened.network.tensors);
  return opened;
}

void choose_parts(const AttentionOptions& options, Opened& opened) {
  check_options_of(options, opened);
  opened.blocks = parse_numbers("blocks", options.blocks, opened.block_count);
  const auto shape = model::block_shape(opened.network.training.model);
  opened.heads = parse_numbers("heads", options.heads, shape.heads);
}

void add_gradients_of(const AttentionOptions& options,
                      LabFeed& feed,
                      model::Network& network,
                      LabSubject& subject) {
  if (options.gradient_images == 0) return;
  const auto& places = feed.places();
  const auto total = options.gradient_images * static_cast<int64_t>(places.size());
  base::CountProgress progress(subject.name + ": gradients of", examples_word(places));
  subject.result.gradient = measure_gradients(
      network, feed, options.gradient_images, [&](int64_t done) { progress(done, total); });
}

void add_ablations_of(const AttentionOptions& options,
                      LabFeed& feed,
                      model::Network& network,
                      LabSubject& subject) {
  const auto kinds = chosen_ablations(options.ablate);
  if (kinds.empty()) return;
  const AblationSettings changes{
      kinds, subject.blocks, subject.heads, options.ablation_images, options.batch_size};
  base::CountProgress progress(subject.name + ": ablations on", examples_word(feed.places()));
  subject.ablations =
      ablate(network, feed, changes, subject.result.kinds, [&](int64_t done, int64_t all) {
        progress(done, all);
      });
}

/// The option that asks for the most examples, and its value.
struct ExamplesNeeded {
  const char* option;
  int64_t count;
};

ExamplesNeeded examples_needed(const AttentionOptions& options) {
  ExamplesNeeded most{"images", options.images};
  if (options.gradient_images > most.count) most = {"gradient_images", options.gradient_images};
  if (options.ablate != "none" && options.ablation_images > most.count)
    most = {"ablation_images", options.ablation_images};
  return most;
}

/// The examples of a network, and what keeps them alive.
struct LabInput {
  std::unique_ptr<LabExamples> images;
  std::unique_ptr<data::TokenSource> sequences;
  std::unique_ptr<LabFeed> feed;
};

LabInput open_input(const AttentionOptions& options,
                    const Opened& opened,
                    torch::Device device,
                    LabRecord& record) {
  LabInput input;
  const auto seed = static_cast<uint64_t>(options.seed);
  const auto& training = opened.network.training;
  const auto [option, most] = examples_needed(options);
  if (!takes_tokens(opened)) {
    input.images = std::make_unique<LabExamples>(training, options.data, seed, device);
    record.describe = input.images->describe();
    record.fingerprint = input.images->fingerprint();
    base::require(input.images->size() >= most,
                  "--{} {}: {} holds {}",
                  option,
                  most,
                  options.data,
                  input.images->size());
    const auto times = options.timesteps.empty() ? kUsualTimes : options.timesteps;
    input.feed = std::make_unique<ImageFeed>(*input.images, parse_times(times));
    return input;
  }
  input.sequences = open_lab_sequences(
      training, options.data, options.length, data_fingerprint_of(opened.network.weights));
  const auto& source = *input.sequences;
  base::require(source.size() == 0 || source.size() >= most,
                "--{} {}: {} holds {} sequences of {} tokens",
                option,
                most,
                source.describe(),
                source.size(),
                source.length());
  // Options of the runs' own configs shape sequences too: the first ones decide.
  const auto first =
      data::read_sequences(source, seed, 0, std::min<int64_t>(8, most)).sequences.contiguous();
  formats::Xxh64 hash;
  hash.update(first.data_ptr<int64_t>(), first.nbytes());
  auto fingerprint = fmt::format("{} first={}", source.fingerprint(), hash.hex());
  base::require(record.fingerprint.empty() || record.fingerprint == fingerprint,
                "{}: the sequences of this network are not those of the one before; give --data "
                "(and --length) for all, and networks with the same tokens.* options",
                opened.source.weights);
  record.describe = source.describe();
  record.fingerprint = std::move(fingerprint);
  const auto positions = options.positions.empty() ? "quarters" : options.positions;
  input.feed = std::make_unique<SequenceFeed>(
      source, seed, device, parse_positions(positions, source.length()));
  return input;
}

LabSubject look_at(const AttentionOptions& options,
                   const Opened& opened,
                   const LabSettings& settings,
                   LabRecord& record) {
  const torch::Device device(base::choose_device(options.device));
  const auto precision = base::resolve_precision(options.precision, device);
  record.device = device.str();
  record.precision = precision;
  const auto input = open_input(options, opened, device, record);
  const auto network = opened.network.network(device, base::compute_dtype(precision));
  LabSubject subject;
  subject.name = opened.source.name;
  subject.weights = opened.network.weights.string();
  subject.weights_sha256 = opened.network.weights_sha256;
  subject.images_seen = opened.source.images_seen;
  subject.blocks = opened.blocks;
  subject.heads = opened.heads;
  const auto total = settings.images * static_cast<int64_t>(input.feed->passes());
  base::CountProgress progress(subject.name + ": analysed", examples_word(input.feed->places()));
  subject.result = look_at_attention(
      *network, *input.feed, settings, [&](int64_t done) { progress(done, total); });
  add_gradients_of(options, *input.feed, *network, subject);
  add_ablations_of(options, *input.feed, *network, subject);
  return subject;
}

void write_results(const fs::path& out,
                   const json& numbers,
                   const std::vector<LabSubject>& subjects) {
  formats::write_json(out / "attention.json", numbers);
  formats::write_file_atomically(out / "heads.csv", to_text(head_table(subjects), "csv"));
  formats::write_file_atomically(out / "blocks.csv", to_text(block_table(subjects), "csv"));
  const auto ablated = ablation_table(subjects);
  if (!ablated.rows.empty())
    formats::write_file_atomically(out / "ablation.csv", to_text(ablated, "csv"));
  for (const auto& [name, svg] : depth_figures(numbers))
    formats::write_file_atomically(out / "figures" / (name + ".svg"), svg);
  formats::write_file_atomically(out / "attention.html", attention_page(numbers, subjects));
}

/// Opens every network once before any work, so that a wrong one is reported early. Only one of
/// them is in memory at a time. Options are checked once all are known to be of one kind.
void check_sources(const AttentionOptions& options, const std::vector<LabSource>& sources) {
  std::string of_tokens, of_images;
  std::vector<Opened> networks;
  for (const auto& source : sources) {
    networks.push_back(open_source(options, source));
    networks.back().network.tensors.clear();
    (takes_tokens(networks.back()) ? of_tokens : of_images) = source.weights;
  }
  base::require(of_tokens.empty() || of_images.empty(),
                "attention: {} takes tokens and {} images, which are not compared; analyse them "
                "one after the other",
                of_tokens,
                of_images);
  for (auto& network : networks) choose_parts(options, network);
}

}  // namespace

void AttentionOptions::validate() const {
  base::check_fields(*this);
  base::require(!run.empty() || !weights.empty(), "attention: give --run FOLDER or --weights FILE");
  base::require(!out.empty(), "--out is missing; give the folder for the page");
  base::require(config.empty() || !weights.empty(), "--config {}: describes --weights", config);
  base::require(name.empty() || name.size() == run.size() + weights.size(),
                "--name: {} names for {} networks",
                name.size(),
                run.size() + weights.size());
  for (const auto& each : name)
    base::require(std::count(name.begin(), name.end(), each) == 1,
                  "--name {}: given more than once; give each network a name of its own",
                  each);
  check_checkpoint_list(checkpoints);
  if (!timesteps.empty()) parse_times(timesteps);
  chosen_ablations(ablate);
}

json run_attention(const AttentionOptions& options) {
  options.validate();
  base::set_up_process(options.threads);
  base::catch_stop_signals();
  model::use_fused_kernels(options.kernels == "fused");
  LabSettings settings;
  settings.images = options.images;
  settings.batch_size = options.batch_size;
  settings.maps = options.maps;
  const auto sources = sources_of(options);
  check_sources(options, sources);
  settings.map_bytes /= static_cast<int64_t>(sources.size());
  const fs::path out(options.out);
  formats::make_folder(out / "figures");
  LabRecord record;
  record.data = options.data;
  record.seed = static_cast<uint64_t>(options.seed);
  record.images = options.images;
  record.gradient_images = options.gradient_images;
  record.ablation_images = options.ablate == "none" ? 0 : options.ablation_images;
  std::vector<LabSubject> subjects;
  for (const auto& source : sources) {
    auto opened = open_source(options, source);
    choose_parts(options, opened);
    subjects.push_back(look_at(options, opened, settings, record));
  }
  const auto numbers = lab_json(record, subjects);
  write_results(out, numbers, subjects);
  return numbers;
}

void add_attention_command(CLI::App& app) {
  auto options = std::make_shared<AttentionOptions>();
  auto* command = app.add_subcommand(
      "attention", "What the attention of trained networks does, as numbers and a page");
  add_fields(*command, *options);
  command->callback([options] {
    try {
      const auto numbers = run_attention(*options);
      print_json(numbers);
      fmt::print("{}", lab_summary(numbers));
      fmt::print(stderr, "{}\n", (fs::path(options->out) / "attention.html").string());
    } catch (const base::StopRequested&) {
      fmt::print(stderr, "stopped\n");
    }
  });
}

}  // namespace uvic::app
