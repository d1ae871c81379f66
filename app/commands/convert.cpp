#include "app/commands/convert.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/public_metadata.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_identity.h"
#include "app/runs/run_parts.h"
#include "app/training/train_state.h"
#include "base/check.h"
#include "base/process.h"
#include "base/tensor_text.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/make_folder.h"
#include "data/formats/output_file.h"
#include "data/formats/safetensors.h"
#include "data/formats/sha256.h"
#include "data/formats/torch_pickle.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

enum class Target { kSafetensors, kPth, kRun };

Target target_of(const fs::path& out) {
  const auto extension = out.extension();
  if (extension == ".safetensors") return Target::kSafetensors;
  if (extension == ".pth" || extension == ".pt") return Target::kPth;
  std::error_code ignored;
  if (extension.empty() || fs::is_directory(out, ignored)) return Target::kRun;
  throw std::invalid_argument(fmt::format(
      "{}: want a name ending in .safetensors or .pth, or, without an ending, that of a "
      "run folder",
      out.string()));
}

std::optional<torch::Dtype> dtype_of(const std::string& name) {
  if (name == "keep") return std::nullopt;
  if (name == "fp32") return torch::kFloat32;
  if (name == "fp16") return torch::kFloat16;
  if (name == "bf16") return torch::kBFloat16;
  throw std::invalid_argument(fmt::format("--dtype {}: one of keep, fp32, fp16, bf16", name));
}

/// What the shapes of a file say, as the sections of a config.
struct KnownSections {
  model::NetworkConfig model;
  diffusion::DiffusionConfig diffusion;
  diffusion::SamplerConfig sample;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("model", model, "");
    visit("diffusion", diffusion, "");
    visit("sample", sample, "");
  }
};

/// The TOML file: everything, or, of a guess that no shipped config shares, what the shapes say and
/// what was assumed about the rest. No paths: the file is passed on.
std::string config_text(const WeightsFile& file, const KnownNetwork& network) {
  std::string text = fmt::format(
      "# The network of {}; {}.\n",
      base::printable_text(file.path.filename().string()),
      base::printable_text(network.is_guessed ? network.origin
                                              : "config from " + without_paths(network.origin)));
  if (const auto run = file.metadata.find("uvic.run_id"); run != file.metadata.end()) {
    const auto images = count_in(file.metadata, "uvic.images_seen");
    text += fmt::format("# From run {}{}.\n",
                        base::printable_text(run->second),
                        images ? fmt::format(" at {} images", *images) : "");
  }
  for (const auto& assumed : network.assumed)
    text += "# assumed: " + base::printable_text(assumed) + "\n";
  if (!network.is_guessed || !network.recipe.empty())
    return text + to_toml(without_paths(network.training));
  const auto& training = network.training;
  return text + "\n" + to_toml(KnownSections{training.model, training.diffusion, training.sample});
}

/// OUT.json next to OUT.pth: the metadata, tied to the very bytes that it belongs to.
void write_metadata_beside(const fs::path& pth,
                           const std::map<std::string, std::string>& metadata) {
  formats::write_json(fs::path(pth).replace_extension(".json"),
                      {{"file", pth.filename().string()},
                       {"sha256", formats::sha256_file(pth)},
                       {"metadata", metadata}});
}

void write_weights(const fs::path& out,
                   Target target,
                   model::NamedTensors tensors,
                   std::map<std::string, std::string> metadata) {
  if (target == Target::kSafetensors) {
    formats::write_safetensors(out, {std::move(tensors), std::move(metadata)});
    return;
  }
  // A tensor that is a small part of a large storage would take the storage along.
  for (auto& [name, tensor] : tensors)
    if (tensor.storage().nbytes() > tensor.nbytes()) tensor = tensor.clone();
  formats::write_pth(out, tensors);
  if (!metadata.empty()) write_metadata_beside(out, metadata);
}

/// The parts of a training state, from a checkpoint folder of the official code.
bool fill_state(TrainState& state, const fs::path& folder) {
  std::error_code ignored;
  for (const auto* name : {"nnet.pth", "optimizer.pth"})
    if (!fs::exists(folder / name, ignored)) return false;
  const auto network = formats::read_pth(folder / "nnet.pth");
  model::load_weights(*state.model, network, (folder / "nnet.pth").string());
  const auto path = (folder / "optimizer.pth").string();
  const auto moments = formats::read_pth(folder / "optimizer.pth");
  const torch::NoGradGuard no_grad;
  // The official code hands the optimizer all parameters in the order of their registration, which
  // is ours too.
  for (const auto& set : state.optimizer->state())
    for (size_t i = 0; i < state.names.size(); ++i) {
      const auto& target = set.tensors[i];
      if (!target.defined()) continue;
      const auto found = moments.find(fmt::format("state.{}.{}", i, set.name));
      if (found == moments.end() || found->second.sizes() != target.sizes())
        throw std::runtime_error(fmt::format(
            "{}: {} of {} is {}, want {}; it is of another network",
            path,
            set.name,
            state.names[i],
            found == moments.end() ? "missing" : base::shape_text(found->second.sizes()),
            base::shape_text(target.sizes())));
      torch::Tensor(target).copy_(found->second);
    }
  return true;
}

/// The weights that were converted: name, hash, run and images.
nlohmann::json origin_record(const WeightsFile& file) {
  nlohmann::json record = {{"name", file.path.filename().string()},
                           {"sha256", weights_sha256(file)}};
  if (const auto images = count_in(file.metadata, "uvic.images_seen"))
    record["images_seen"] = *images;
  if (const auto run = file.metadata.find("uvic.run_id"); run != file.metadata.end())
    record["run_id"] = run->second;
  return record;
}

/// Whether OUT is a run that is to be replaced. Throws where that was not asked for, and where the
/// weights are part of it.
bool check_run_folder(const ConvertOptions& options) {
  const RunDir run(options.out);
  if (!run.is_run()) return false;
  std::error_code ignored;
  if (!options.overwrite)
    throw std::invalid_argument(fmt::format(
        "{}: already holds a run; choose another folder, or pass --overwrite to move it to {}",
        options.out,
        (fs::path(options.out) / "abandoned").string()));
  if (fs::equivalent(options.in, options.out, ignored))
    throw std::invalid_argument(
        fmt::format("{}: IN and OUT are the same run; choose another folder", options.out));
  return true;
}

void write_run(const ConvertOptions& options, const WeightsFile& file, ConvertResult& result) {
  auto& training = result.network.training;
  if (result.network.is_guessed && result.network.recipe.empty())
    throw std::invalid_argument(
        fmt::format("{}: a run folder needs the whole config, and no shipped one has these shapes; "
                    "give --config",
                    options.out));
  base::require(training.ema_power.empty() && !training.aligns(),
                "{}: a checkpoint has neither the averages of ema_power nor the head of "
                "diffusion.alignment_loss; leave them out of --config",
                options.in);
  const bool replaces = check_run_folder(options);
  training.out = options.out;
  const auto checkpoint = fs::absolute(file.path).parent_path();
  TrainState state(training, torch::kCPU);
  model::load_weights(*state.ema, file.tensors, file.path.string());
  state.step = file.step.value_or(0);
  state.images_seen =
      count_in(file.metadata, "uvic.images_seen").value_or(state.step * training.batch_size);
  result.resumes = file.step && fill_state(state, checkpoint);

  RunDir run(options.out);
  run.open_for_training();
  if (replaces) result.replaced = run.set_aside();
  // A run of its own: what the weights came from is its beginning.
  RunIdentity identity;
  identity.run_id = random_id(16);
  identity.lineage = {{random_id(8), 0}};
  identity.init = origin_record(file).dump();
  auto metadata = file.metadata;
  metadata["uvic.version"] = UVIC_VERSION;
  metadata["uvic.config"] = to_toml(training);
  add_identity(identity, metadata);
  formats::write_file_atomically(run.config(), to_toml(training));
  formats::write_json(run.provenance(),
                      {{"name", fs::absolute(options.out).lexically_normal().filename().string()},
                       {"run_id", identity.run_id},
                       {"command", base::command_line()},
                       {"version", UVIC_VERSION},
                       {"converted", origin_record(file)},
                       {"started", base::utc_now()}});
  if (result.resumes) state.save(run.state(), metadata);
  state.save_weights(run.weights(state.images_seen), metadata);
  result.written = {run.config(), run.provenance(), run.weights(state.images_seen)};
  if (result.resumes) result.written.push_back(run.state());
}

nlohmann::json result_record(const ConvertResult& result) {
  auto written = nlohmann::json::array();
  for (const auto& path : result.written) written.push_back(path.string());
  nlohmann::json record = {{"written", written},
                           {"tensors", result.tensors},
                           {"parameters", result.parameters},
                           {"resumes", result.resumes},
                           {"replaced", result.replaced.string()},
                           {"is_network", result.is_network}};
  if (result.is_network) {
    record["config"] = result.network.origin;
    record["assumed"] = result.network.assumed;
  }
  return record;
}

void print_result(const ConvertOptions& options, const ConvertResult& result) {
  print_json(result_record(result));
  for (const auto& path : result.written)
    fmt::print(
        "{}  {}\n",
        path.string(),
        base::bytes_text(static_cast<double>(fs::is_regular_file(path) ? fs::file_size(path) : 0)));
  fmt::print("{} tensors, {} parameters ({})\n",
             result.tensors,
             base::si_number(static_cast<double>(result.parameters)),
             result.parameters);
  if (!result.is_network) {
    fmt::print("not the tensors of a network that uvic knows: no config written\n");
    return;
  }
  if (!result.replaced.empty())
    fmt::print("the run that was there is in {}\n", result.replaced.string());
  const auto& network = result.network;
  fmt::print("config: {}\n", network.origin);
  for (const auto& assumed : network.assumed) fmt::print("assumed: {}\n", assumed);
  const auto& model = network.training.model;
  if (target_of(options.out) == Target::kRun)
    fmt::print("{}: uvic {} {}\n",
               result.resumes ? "to continue training" : "to generate images",
               result.resumes ? "train --data PATH --out" : "sample --out samples --run",
               base::shell_word(options.out));
  else
    fmt::print(
        "to generate images: uvic sample --weights {} --config {} --out samples{}{}\n",
        base::shell_word(result.written[0].string()),
        base::shell_word(result.written[1].string()),
        model.input().channels != 3 ? " --autoencoder FILE" : "",
        model.input().takes_context() ? " --text_encoder FILE --tokenizer FILE --prompt TEXT" : "");
}

}  // namespace

void ConvertOptions::validate() const {
  if (in.empty() || out.empty())
    throw std::invalid_argument("convert: give the weights to read and the file to write");
  target_of(out);
  dtype_of(dtype);
  base::check_fields(*this);
}

ConvertResult run_convert(const ConvertOptions& options) {
  options.validate();
  const fs::path out(options.out);
  const auto target = target_of(out);
  if (target != Target::kRun) refuse_part_of_run(out);
  const auto config_path = fs::path(out).replace_extension(".toml");
  auto file = open_weights(options.in, options.prefix);
  ConvertResult result;
  result.is_network = file.is_network;
  result.tensors = static_cast<int64_t>(file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) result.parameters += tensor.numel();
  if (result.is_network) result.network = network_config(file, options.network);
  if (const auto dtype = dtype_of(options.dtype))
    for (auto& [name, tensor] : file.tensors)
      if (tensor.is_floating_point()) tensor = tensor.to(*dtype);
  for (const auto& note : file.notes) fmt::print(stderr, "{}\n", note);
  if (file.left_out > 0)
    fmt::print(stderr,
               "{} tensors outside \"{}\" are left out\n",
               file.left_out,
               base::printable_text(file.prefix));

  if (target == Target::kRun) {
    if (!result.is_network)
      throw std::invalid_argument(
          fmt::format("{}: not the tensors of a network that uvic knows; a run folder needs one",
                      file.path.string()));
    if (options.dtype != "keep" && options.dtype != "fp32")
      throw std::invalid_argument("--dtype: a run folder holds fp32");
    write_run(options, file, result);
    return result;
  }

  formats::check_output_file(out, options.overwrite);
  if (target == Target::kPth)
    formats::check_output_file(fs::path(out).replace_extension(".json"), options.overwrite);
  auto metadata = public_metadata(file.metadata);
  if (file.step) metadata["uvic.step"] = fmt::format("{}", *file.step);
  if (target == Target::kSafetensors) metadata["format"] = "pt";
  std::string config;
  if (result.is_network) {
    formats::check_output_file(config_path, options.overwrite);
    config = config_text(file, result.network);
    metadata["uvic.kind"] = "uvic weights";
    metadata["uvic.config"] = config;
  }
  write_weights(out, target, file.tensors, std::move(metadata));
  result.written = {out};
  if (result.is_network) {
    formats::write_file_atomically(config_path, config);
    result.written.push_back(config_path);
  }
  return result;
}

void add_convert_command(CLI::App& app) {
  auto options = std::make_shared<ConvertOptions>();
  auto* command = app.add_subcommand(
      "convert", "Weights from .pth to .safetensors and back, and the config that opens them");
  command
      ->add_option("IN",
                   options->in,
                   "A .pth or .safetensors file, a folder of the official code (N.ckpt, or the "
                   "latest of ckpts/), a run folder")
      ->required();
  command
      ->add_option(
          "OUT",
          options->out,
          "NAME.safetensors or NAME.pth, with NAME.toml next to it; without an ending a run "
          "folder")
      ->required();
  add_fields(*command, *options);
  command->callback([options] {
    base::set_up_process(0);
    print_result(*options, run_convert(*options));
  });
}

}  // namespace uvic::app
