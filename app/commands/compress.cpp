#include "app/commands/compress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/lab/sequence_feed.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/public_metadata.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_identity.h"
#include "app/runs/run_parts.h"
#include "app/runs/sequence_tokenizer.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "base/tensor_text.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/output_file.h"
#include "data/formats/safetensors.h"
#include "data/tokens/token_loader.h"
#include "model/decoder_lm/low_rank.h"
#include "model/kernel_choice.h"
#include "model/network.h"
#include "model/weights.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

bool names_a_run(const fs::path& out) { return out.extension().empty(); }

fs::path config_next_to(const fs::path& out) { return fs::path(out).replace_extension(".toml"); }

std::vector<std::string> output_files(const CompressOptions& options) {
  return {options.out, config_next_to(options.out).string()};
}

void check_out(const CompressOptions& options) {
  const fs::path out(options.out);
  base::require(!out.empty(), "--out is missing; give NAME.safetensors, or a run folder");
  formats::refuse_flag_as_path(out);
  base::require(
      names_a_run(out) || out.extension() == ".safetensors",
      "--out {}: want a name ending in .safetensors, or, without an ending, that of a run "
      "folder",
      options.out);
  if (names_a_run(out)) {
    std::error_code ignored;
    base::require(!fs::exists(out, ignored) || fs::is_directory(out, ignored),
                  "--out {}: a file; without an ending it is the name of a run folder, choose "
                  "another",
                  options.out);
    base::require(
        !RunDir(out).is_run(), "--out {}: already holds a run; choose another folder", options.out);
    RunDir(out).refuse_other_files();
    return;
  }
  refuse_part_of_run(out);
  formats::refuse_same_file(
      output_files(options),
      {options.weights, options.data, options.tokenizer, options.network.config});
  formats::check_output_file(out, options.overwrite);
  formats::check_output_file(config_next_to(out), options.overwrite);
}

/// The network that is compressed, and where it is from.
struct Compressed {
  WeightsFile file;
  KnownNetwork known;
  std::shared_ptr<model::DecoderLMImpl> network;
  nlohmann::json run_record;  ///< run.json of the run that the weights are of, or null
};

/// Neither the weights that were opened nor what describes them is overwritten.
void check_inputs_stay(const CompressOptions& options, const Compressed& from) {
  if (names_a_run(options.out)) return;
  std::vector<std::string> inputs = {from.file.path.string()};
  for (const auto& shard : from.file.shards) inputs.push_back(shard.string());
  std::error_code ignored;
  if (fs::is_regular_file(from.known.origin, ignored)) inputs.push_back(from.known.origin);
  if (!from.file.run_folder.empty()) {
    const RunDir run(from.file.run_folder);
    inputs.push_back(run.config().string());
    inputs.push_back(run.state().string());
  }
  formats::refuse_same_file(output_files(options), inputs);
}

Compressed open_compressed(const CompressOptions& options,
                           torch::Device device,
                           torch::Dtype dtype) {
  Compressed opened;
  opened.file = open_weights(options.run.empty() ? options.weights : options.run);
  const auto path = opened.file.path.string();
  base::require(
      opened.file.is_network, "{}: these are not the tensors of a network that uvic knows", path);
  opened.known = network_config(opened.file, options.network);
  const auto& training = opened.known.training;
  base::require(training.is_of_sequences(),
                "{}: a network of images, which keeps no keys and values; uvic compress is for "
                "language models (decoder_lm)",
                path);
  const auto network = model::make_network(training.model);
  opened.network = std::dynamic_pointer_cast<model::DecoderLMImpl>(network);
  base::require(opened.network != nullptr,
                "{}: model.kind is {}, which keeps no keys and values; uvic compress is for "
                "decoder_lm",
                path,
                training.model.kind);
  if (const RunDir run(opened.file.run_folder);
      !opened.file.run_folder.empty() && fs::exists(run.provenance()))
    opened.run_record = formats::read_json(run.provenance());
  check_inputs_stay(options, opened);
  model::load_weights(*network, opened.file.tensors, path);
  network->to(device);
  network->set_compute_dtype(dtype);
  network->eval();
  return opened;
}

/// How many sequences the calibration reads, and how many after those are scored.
struct Shares {
  int64_t calibration, scored;
};

Shares shares_of(const CompressOptions& options, const data::TokenSource& source) {
  const int64_t size = source.size();
  if (size == 0) return {options.calibration_count, options.count};  // a task has no end
  base::require(
      size >= 2,
      "{}: {} sequence; the calibration and the loss need one each, give --data with more",
      source.describe(),
      size);
  const auto calibration = std::min(options.calibration_count, size / 2);
  return {calibration, std::min(options.count, size - calibration)};
}

std::vector<model::HeadMoments> calibrate(const CompressOptions& options,
                                          model::DecoderLMImpl& network,
                                          const data::TokenSource& source,
                                          int64_t count) {
  base::CountProgress progress("calibrated", "sequences");
  int64_t done = 0;
  return model::measure_heads(network, [&]() -> torch::Tensor {
    if (base::stop_requested()) throw base::StopRequested();
    const auto now = std::min(options.batch_size, count - done);
    if (now == 0) return {};
    const auto batch = data::read_sequences(source, static_cast<uint64_t>(options.seed), done, now);
    done += now;
    progress(done, count);
    return batch.sequences.to(network.device());
  });
}

TokenScore loss_of(const CompressOptions& options,
                   model::SequenceNetwork& network,
                   const data::TokenSource& source,
                   const Shares& shares) {
  base::CountProgress progress("scored", "sequences");
  return score_tokens(
      network,
      source,
      static_cast<uint64_t>(options.seed),
      shares.scored,
      options.batch_size,
      [&](int64_t done) {
        if (base::stop_requested()) throw base::StopRequested();
        progress(done, shares.scored);
      },
      shares.calibration);
}

/// What the file says of how it was made.
nlohmann::json compression_record(const CompressOptions& options,
                                  const WeightsFile& file,
                                  const CompressResult& result) {
  auto record = result.json();
  record.erase("written");
  record["rank_threshold"] = options.rank_threshold;
  record["from"] = {{"name", file.path.filename().string()}, {"sha256", weights_sha256(file)}};
  return record;
}

std::string rank_list(const std::vector<model::CacheRanks>& ranks, int64_t width, bool keys) {
  std::string list;
  for (const auto& of_layer : ranks)
    list += fmt::format("{}{}",
                        list.empty() ? "" : ", ",
                        keys ? of_layer.key_width(width) : of_layer.value_width(width));
  return list;
}

/// run.json of a compressed run. What it says of the training is what the record of the source
/// says. `network` is the smaller one.
nlohmann::json record_of_run(const fs::path& out,
                             const model::NetworkConfig& network,
                             const Compressed& from,
                             const nlohmann::json& origin,
                             const CompressResult& result) {
  const auto name = fs::absolute(out).lexically_normal();
  nlohmann::json record = {
      {"name", (name.has_filename() ? name : name.parent_path()).filename().string()},
      {"command", base::command_line()},
      {"version", UVIC_VERSION},
      {"parameters", result.parameters_after},
      {"forward_gflop_per_image", model::forward_flops(network) / 1e9},
      {"images_seen", count_in(from.file.metadata, "uvic.images_seen").value_or(0)},
      {"compressed", origin},
      {"started", base::utc_now()}};
  if (const auto data = data_fingerprint_in(from.file.metadata); !data.empty())
    record["data"] = {{"source", from.known.training.data}, {"fingerprint", data}};
  for (const char* key : {"data", "device", "threads", "precision", "total_images"})
    if (from.run_record.is_object() && from.run_record.contains(key))
      record[key] = from.run_record[key];
  return record;
}

/// A run of its own: what the weights came from is its beginning.
void write_compressed_run(const fs::path& out,
                          RunConfig training,
                          std::map<std::string, std::string> metadata,
                          model::NamedTensors tensors,
                          nlohmann::json record,
                          CompressResult& result) {
  RunDir run(out);
  run.open_for_training();
  training.out = out.string();
  const int64_t images = record["images_seen"];
  RunIdentity identity;
  identity.run_id = random_id(16);
  identity.lineage = {{random_id(8), 0}};
  identity.init = record["compressed"]["from"].dump();
  record["run_id"] = identity.run_id;
  add_identity(identity, metadata);
  metadata["uvic.config"] = to_toml(training);
  metadata["uvic.images_seen"] = fmt::format("{}", images);
  formats::write_file_atomically(run.config(), to_toml(training));
  formats::write_json(run.provenance(), record);
  formats::write_safetensors(run.weights(images), {std::move(tensors), std::move(metadata)});
  result.written = {run.config(), run.provenance(), run.weights(images)};
}

void write_compressed(const CompressOptions& options,
                      const Compressed& from,
                      model::LowRankWeights low_rank,
                      CompressResult& result) {
  const fs::path out(options.out);
  const auto origin = compression_record(options, from.file, result);
  auto training = from.known.training;
  training.model.decoder_lm = low_rank.config;
  for (auto& [name, tensor] : low_rank.tensors) tensor = tensor.cpu().contiguous();
  auto metadata = names_a_run(out) ? from.file.metadata : public_metadata(from.file.metadata);
  metadata["format"] = "pt";
  metadata["uvic.version"] = UVIC_VERSION;
  metadata["uvic.kind"] = "uvic weights";
  metadata["uvic.compressed"] = origin.dump();
  if (names_a_run(out)) {
    write_compressed_run(out,
                         training,
                         std::move(metadata),
                         std::move(low_rank.tensors),
                         record_of_run(out, training.model, from, origin, result),
                         result);
    return;
  }
  auto config = fmt::format("# The network of {} with keys and values of low rank.\n",
                            base::printable_text(from.file.path.filename().string()));
  for (const auto& assumed : from.known.assumed)
    config += "# assumed: " + base::printable_text(assumed) + "\n";
  config += to_toml(without_paths(training));
  metadata["uvic.config"] = config;
  formats::write_safetensors(out, {std::move(low_rank.tensors), std::move(metadata)});
  formats::write_file_atomically(config_next_to(out), config);
  result.written = {out, config_next_to(out)};
}

std::string loss_text(const MeanWithError& value) {
  return fmt::format("{:.4f} +- {:.4f}", value.mean, value.error);
}

void print_compression(const CompressResult& result) {
  for (const auto& path : result.written) fmt::print("{}\n", path.string());
  fmt::print("ranks of keys {} of {}\nranks of values {} of {}\n",
             rank_list(result.ranks, result.head_width, /*keys=*/true),
             result.head_width,
             rank_list(result.ranks, result.head_width, /*keys=*/false),
             result.head_width);
  fmt::print("cache {:.0f} bytes a token, was {:.0f}: {:.1f} % of it\n",
             result.bytes_after,
             result.bytes_before,
             100 * result.bytes_after / result.bytes_before);
  fmt::print("parameters {}, were {}\n", result.parameters_after, result.parameters_before);
  fmt::print(
      "loss {} nats a token, was {}; perplexity {:.3f}, was {:.3f}; accuracy {:.2f} %, was "
      "{:.2f} %; {} tokens\n",
      loss_text(result.after.all.loss),
      loss_text(result.before.all.loss),
      result.after.perplexity(),
      result.before.perplexity(),
      100 * result.after.all.accuracy.mean,
      100 * result.before.all.accuracy.mean,
      result.before.all.tokens);
}

}  // namespace

void CompressOptions::validate() const {
  base::check_fields(*this);
  base::require(run.empty() != weights.empty(), "compress: give --run FOLDER or --weights FILE");
}

nlohmann::json CompressResult::json() const {
  auto keys = nlohmann::json::array(), values = nlohmann::json::array(),
       files = nlohmann::json::array();
  for (const auto& of_layer : ranks) {
    keys.push_back(of_layer.key_width(head_width));
    values.push_back(of_layer.value_width(head_width));
  }
  for (const auto& path : written) files.push_back(path.string());
  return {{"written", files},
          {"head_width", head_width},
          {"key_ranks", keys},
          {"value_ranks", values},
          {"calibration_sequences", calibration_sequences},
          {"cache_bytes_per_token", bytes_after},
          {"cache_bytes_per_token_before", bytes_before},
          {"parameters", parameters_after},
          {"parameters_before", parameters_before},
          {"score", after.json()},
          {"score_before", before.json()}};
}

CompressResult run_compress(const CompressOptions& options) {
  options.validate();
  check_out(options);
  base::set_up_process(options.threads);
  base::catch_stop_signals();
  model::use_fused_kernels(options.kernels == "fused");
  const torch::Device device(base::choose_device(options.device));
  const auto dtype = base::compute_dtype(base::resolve_precision(options.precision, device));
  const auto from = open_compressed(options, device, dtype);
  auto training = from.known.training;
  if (!options.tokenizer.empty()) training.encoders.tokenizer = options.tokenizer;
  const auto source = open_lab_sequences(
      training, options.data, /*length=*/0, data_fingerprint_in(from.file.metadata));
  const auto shares = shares_of(options, *source);

  CompressResult result;
  result.calibration_sequences = shares.calibration;
  const auto moments = calibrate(options, *from.network, *source, shares.calibration);
  result.before = loss_of(options, *from.network, *source, shares);
  if (!std::isfinite(result.before.all.loss.mean))
    throw std::runtime_error(fmt::format(
        "{}: the loss of this network is not finite; its weights are damaged, or its numbers are "
        "too large for this --precision",
        from.file.path.string()));
  auto low_rank = model::compress_heads(*from.network, moments, options.rank_threshold);
  model::DecoderLM smaller(low_rank.config);
  model::load_weights(*smaller, low_rank.tensors, "the compressed network");
  smaller->to(device);
  smaller->set_compute_dtype(dtype);
  smaller->eval();
  result.after = loss_of(options, *smaller, *source, shares);

  const auto& config = from.network->config();
  const auto bytes = static_cast<double>(c10::elementSize(dtype));
  result.head_width = config.head_width();
  result.ranks = model::cache_ranks(low_rank.config);
  result.bytes_before = bytes * static_cast<double>(model::cache_numbers(config));
  result.bytes_after = bytes * static_cast<double>(model::cache_numbers(low_rank.config));
  result.parameters_before = model::parameter_count(config);
  result.parameters_after = model::parameter_count(low_rank.config);
  write_compressed(options, from, std::move(low_rank), result);
  return result;
}

void add_compress_command(CLI::App& app) {
  auto options = std::make_shared<CompressOptions>();
  auto* command = app.add_subcommand(
      "compress", "Keys and values of low rank for a language model: a smaller cache");
  add_fields(*command, *options);
  command->callback([options] {
    try {
      const auto result = run_compress(*options);
      print_compression(result);
      print_json(result.json());
    } catch (const base::StopRequested&) {
      fmt::print(stderr, "stopped\n");
    }
  });
}

}  // namespace uvic::app
