#include "app/commands/convert.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "app/options/options.h"
#include "app/runs/run_dir.h"
#include "app/training/train_state.h"
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

/// What stands in the TOML file: everything, or, of a guess that no shipped config shares, what the
/// shapes tell.
std::string config_text(const WeightsFile& file, const KnownNetwork& network) {
  std::string text =
      fmt::format("# The network of {}; {}.\n",
                  file.path.string(),
                  network.is_guessed ? network.origin : "config from " + network.origin);
  for (const auto& assumed : network.assumed) text += "# assumed: " + assumed + "\n";
  if (!network.is_guessed || !network.recipe.empty()) return text + to_toml(network.training);
  text += "\n[model]\n" + to_toml(network.training.model);
  const diffusion::DiffusionConfig usual;
  if (network.training.diffusion.schedule != usual.schedule)
    text += fmt::format("\n[diffusion]\nschedule = {}\n",
                        detail::toml_value(network.training.diffusion.schedule));
  return text;
}

/// OUT.json beside OUT.pth: the metadata, tied to the very bytes that it belongs to.
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

void write_run(const ConvertOptions& options, const WeightsFile& file, ConvertResult& result) {
  auto& training = result.network.training;
  if (result.network.is_guessed && result.network.recipe.empty())
    throw std::invalid_argument(
        fmt::format("{}: a run folder needs the whole config, and no shipped one has these shapes; "
                    "give --config",
                    options.out));
  RunDir run(options.out);
  std::error_code ignored;
  if (!options.overwrite && fs::exists(run.config(), ignored))
    throw std::invalid_argument(fmt::format(
        "{}: a run stands there already; choose another folder or pass --overwrite", options.out));
  training.out = options.out;
  const auto checkpoint = fs::absolute(file.path).parent_path();
  TrainState state(training.model, training.optimizer, 0, torch::kCPU);
  model::load_weights(*state.ema, file.tensors, file.path.string());
  state.step = file.step.value_or(0);
  state.images_seen = state.step * training.batch_size;
  auto metadata = file.metadata;
  if (const auto seen = metadata.find("uvic.images_seen"); seen != metadata.end())
    state.images_seen = std::atoll(seen->second.c_str());
  metadata["uvic.version"] = UVIC_VERSION;
  metadata["uvic.config"] = to_toml(training);
  result.resumes = file.step && fill_state(state, checkpoint);
  run.open_for_training();
  formats::write_file_atomically(run.config(), to_toml(training));
  state.save_weights(run.weights(state.images_seen), metadata);
  result.written = {run.config(), run.weights(state.images_seen)};
  if (!result.resumes) return;
  state.save(run.state(), metadata);
  result.written.push_back(run.state());
}

void print_result(const ConvertOptions& options, const ConvertResult& result) {
  for (const auto& path : result.written)
    fmt::print(
        "{}  {}\n", path.string(), base::bytes_text(static_cast<double>(fs::file_size(path))));
  fmt::print("{} tensors, {} parameters ({})\n",
             result.tensors,
             base::si_number(static_cast<double>(result.parameters)),
             result.parameters);
  if (!result.is_network) {
    fmt::print("not a U-ViT's tensors: no config written\n");
    return;
  }
  const auto& network = result.network;
  fmt::print("config: {}\n", network.origin);
  for (const auto& assumed : network.assumed) fmt::print("assumed: {}\n", assumed);
  const auto& model = network.training.model;
  if (target_of(options.out) == Target::kRun)
    fmt::print(
        "{}: uvic {} {}\n",
        result.resumes ? "to go on training" : "to draw pictures",
        result.resumes ? "train --data PATH --config" : "sample --out samples --run",
        base::shell_word((fs::path(options.out) / (result.resumes ? "config.toml" : "")).string()));
  else if (model.input().channels != 3 || model.input().context_dim > 0)
    fmt::print("to evaluate it: uvic predict --weights {} --config {}\n",
               base::shell_word(result.written[0].string()),
               base::shell_word(result.written[1].string()));
  else
    fmt::print("to draw pictures: uvic sample --weights {} --config {} --out samples\n",
               base::shell_word(result.written[0].string()),
               base::shell_word(result.written[1].string()));
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
  if (file.left_out > 0)
    fmt::print(stderr,
               "{} tensors outside \"{}\" are left out\n",
               file.left_out,
               base::printable_text(file.prefix));

  if (target == Target::kRun) {
    if (!result.is_network)
      throw std::invalid_argument(fmt::format(
          "{}: not a U-ViT's tensors, a run folder needs a network", file.path.string()));
    if (options.dtype != "keep" && options.dtype != "fp32")
      throw std::invalid_argument("--dtype: a run folder holds fp32");
    write_run(options, file, result);
    return result;
  }

  formats::check_output_file(out, options.overwrite);
  if (target == Target::kPth)
    formats::check_output_file(fs::path(out).replace_extension(".json"), options.overwrite);
  auto metadata = file.metadata;
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
          "NAME.safetensors or NAME.pth, with NAME.toml beside it; without an ending a run "
          "folder")
      ->required();
  add_fields(*command, *options);
  command->callback([options] {
    base::set_up_process(0);
    print_result(*options, run_convert(*options));
  });
}

}  // namespace uvic::app
