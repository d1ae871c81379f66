#include "app/commands/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>
#include <vector>

#include "app/commands/inspect_text.h"
#include "app/options/assets.h"
#include "app/options/options.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "app/runs/weights_file.h"
#include "base/process.h"
#include "base/tensor_text.h"
#include "data/cifar10.h"
#include "data/formats/file_kind.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/formats/safetensors.h"
#include "data/formats/torch_pickle.h"
#include "data/image_folder.h"
#include "data/image_zip.h"
#include "metrics/image_source.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

/// A struct with fields() as an object, the structs inside it as objects inside.
template <class Config>
json fields_json(Config& config) {
  json result = json::object();
  config.fields([&](const char* name, auto& field, const base::Field&) {
    if constexpr (base::has_fields<std::decay_t<decltype(field)>>::value)
      result[name] = fields_json(field);
    else
      result[name] = field;
  });
  return result;
}

json tensor_row(const std::string& name, torch::ScalarType dtype, at::IntArrayRef sizes) {
  int64_t numel = 1;
  for (const auto size : sizes) numel *= size;
  return {{"name", name},
          {"dtype", base::dtype_text(dtype)},
          {"shape", sizes.vec()},
          {"bytes", numel * static_cast<int64_t>(c10::elementSize(dtype))}};
}

json tensor_rows(const std::map<std::string, torch::Tensor>& tensors) {
  auto rows = json::array();
  for (const auto& [name, tensor] : tensors)
    rows.push_back(tensor_row(name, tensor.scalar_type(), tensor.sizes()));
  return rows;
}

/// "network", "parameters", "step" and "images_seen" of a file of tensors.
void describe_network(const fs::path& path, json& report) {
  WeightsFile file;
  try {
    file = open_weights(path);
  } catch (const std::exception& error) {
    report["network"] = {{"fault", error.what()}};  // several networks, or no tensor at all
    return;
  }
  int64_t parameters = 0;
  for (const auto& [name, tensor] : file.tensors) parameters += tensor.numel();
  report[file.is_network ? "parameters" : "elements"] = parameters;
  if (file.step) report["step"] = *file.step;
  if (const auto seen = file.metadata.find("uvic.images_seen"); seen != file.metadata.end())
    report["images_seen"] = std::atoll(seen->second.c_str());
  if (!file.is_network) return;
  json network = json::object();
  if (!file.prefix.empty()) network["prefix"] = file.prefix;
  if (!file.notes.empty()) network["notes"] = file.notes;
  try {
    auto described = network_config(file, {});
    network["config"] = fields_json(described.training.model);
    network["origin"] = described.origin;
    network["assumed"] = described.assumed;
    if (!described.recipe.empty()) network["recipe"] = described.recipe;
  } catch (const std::exception& error) {
    network["fault"] = error.what();
  }
  report["network"] = network;
}

void inspect_pth(const std::shared_ptr<const formats::MappedFile>& file, json& report) {
  const auto read = formats::read_pth_file(file);
  report["tensors"] = tensor_rows(read.tensors);
  report["values"] = json::object();
  for (const auto& [name, value] : read.scalars)
    std::visit([&, key = name](const auto& v) { report["values"][key] = v; }, value);
  report["other_values"] = read.others;
  if (!read.tensors.empty()) describe_network(file->name(), report);
  // What the official code keeps in N.ckpt/step.pth.
  if (read.tensors.empty() && read.scalars.size() == 1 && read.scalars.count("") &&
      std::holds_alternative<int64_t>(read.scalars.at("")))
    report["step"] = std::get<int64_t>(read.scalars.at(""));
}

void inspect_npz(const std::shared_ptr<const formats::MappedFile>& file, json& report) {
  const formats::NpzFile npz(file);
  report["tensors"] = json::array();
  for (const auto& name : npz.names()) {
    const auto info = npz.info(name);
    report["tensors"].push_back(tensor_row(name, info.dtype, info.shape));
  }
  if (npz.has("mu") && npz.has("sigma")) report["kind"] = "npz: statistics of features";
  for (const auto* name : {"count", "provenance"}) {
    if (!npz.has(name)) continue;
    const auto array = npz.read(name).contiguous();
    if (array.numel() == 1 && array.scalar_type() != torch::kUInt8)
      report["metadata"][name] = fmt::format("{}", array.to(torch::kInt64).item<int64_t>());
    else if (array.scalar_type() == torch::kUInt8)
      report["metadata"][name] =
          std::string(reinterpret_cast<const char*>(array.data_ptr<uint8_t>()),
                      static_cast<size_t>(array.numel()));
  }
}

json class_rows(const std::vector<std::string>& names, const std::map<int64_t, int64_t>& counts) {
  auto rows = json::array();
  for (const auto& [label, count] : counts)
    rows.push_back({{"name",
                     label >= 0 && label < static_cast<int64_t>(names.size())
                         ? names[static_cast<size_t>(label)]
                         : fmt::format("{}", label)},
                    {"count", count}});
  return rows;
}

/// The sizes of this many images, spread over a set, from their headers.
metrics::SizeCounts sizes_of(const std::string& source) {
  constexpr int64_t kLookedAt = 1000;
  data::DatasetOptions options;
  options.image_size = 0;
  return metrics::survey_sizes(*metrics::open_images(source, options).images, kLookedAt);
}

/// Without decoding a picture.
json pictures_json(const data::FileContainer& container, const metrics::SizeCounts& sizes) {
  const auto listing = data::list_images(container);
  std::map<int64_t, int64_t> counts;
  for (const auto label : listing.labels) ++counts[label];
  uint64_t total_bytes = 0;
  for (const auto& file : listing.files) total_bytes += file.size_bytes;
  return {{"count", listing.files.size()},
          {"image_size", metrics::common_side(sizes)},
          {"sizes", metrics::sizes_text(sizes)},
          {"notes", listing.notes},
          {"bytes", total_bytes},
          {"labels", !listing.labels.empty()},
          {"classes", class_rows(listing.class_names, counts)}};
}

json cifar_json(const data::Cifar10& pictures) {
  std::map<int64_t, int64_t> counts;
  std::vector<uint8_t> planes(3 * 32 * 32);
  for (int64_t i = 0; i < pictures.size(); ++i) ++counts[pictures.read(i, planes.data())];
  return {{"count", pictures.size()},
          {"image_size", 32},
          {"labels", true},
          {"classes", class_rows(pictures.class_names(), counts)}};
}

/// One batch file: a byte of class before each picture of 3072.
json cifar_batch_json(const formats::MappedFile& file) {
  std::map<int64_t, int64_t> counts;
  for (size_t at = 0; at < file.size(); at += 3073) ++counts[file.data()[at]];
  if (counts.rbegin()->first > 9)
    throw std::runtime_error(
        fmt::format("{}: no batch of CIFAR-10's binary version: a record of class {}",
                    file.name(),
                    counts.rbegin()->first));
  return {{"count", file.size() / 3073},
          {"image_size", 32},
          {"labels", true},
          {"classes", class_rows({}, counts)}};
}

/// What a JSON file holds, without its long lists.
json outline(const json& value) {
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  if (!value.is_object()) return value;
  json result = json::object();
  for (const auto& [key, inner] : value.items()) {
    const bool is_long = inner.is_structured() &&
                         inner.dump(-1, ' ', false, json::error_handler_t::replace).size() > 200;
    result[key] = !is_long           ? inner
                  : inner.is_array() ? json(fmt::format("a list of {}", inner.size()))
                                     : json(fmt::format("an object of {}", inner.size()));
  }
  return result;
}

void inspect_file(const fs::path& path, json& report) {
  const auto file = formats::MappedFile::open(path);
  report["size_bytes"] = file->size();
  switch (formats::file_kind(file)) {
    case formats::FileKind::kSafetensors: {
      const auto read = formats::read_safetensors(file);
      report["kind"] = "safetensors";
      if (const auto kind = read.metadata.find("uvic.kind"); kind != read.metadata.end())
        report["kind"] = "safetensors: " + kind->second;
      report["tensors"] = tensor_rows(read.tensors);
      report["metadata"] = read.metadata;
      if (!read.tensors.empty()) describe_network(path, report);
      break;
    }
    case formats::FileKind::kPth:
      report["kind"] = "pth: a file of torch.save";
      inspect_pth(file, report);
      break;
    case formats::FileKind::kTorchScript:
      report["kind"] = "TorchScript module";
      report["note"] =
          "a program with weights: a feature extractor for uvic fid --extractor FILE.pt";
      break;
    case formats::FileKind::kNpy: {
      const auto info = formats::read_npy_info(path);
      report["kind"] = "npy";
      report["tensors"] = json::array({tensor_row("", info.dtype, info.shape)});
      break;
    }
    case formats::FileKind::kNpz:
      report["kind"] = "npz";
      inspect_npz(file, report);
      break;
    case formats::FileKind::kImageZip:
      report["kind"] = "zip archive of pictures";
      report["pictures"] = pictures_json(*data::open_image_zip(path), sizes_of(path.string()));
      break;
    case formats::FileKind::kImage: {
      const auto image = formats::decode_image(file->data(), file->size(), path.string());
      report["kind"] = "picture";
      report["picture"] = {{"width", image.width}, {"height", image.height}};
      break;
    }
    case formats::FileKind::kCifarBatch:
      report["kind"] = "CIFAR-10, a batch of the binary version";
      report["pictures"] = cifar_batch_json(*file);
      break;
    case formats::FileKind::kJson: {
      report["kind"] = "json";
      report["content"] = outline(formats::read_json(path));
      break;
    }
    case formats::FileKind::kToml: {
      RunConfig options;
      read_toml(path, options);
      report["kind"] = "training config";
      report["config"] = fields_json(options);
      report["parameters"] = model::parameter_count(options.model);
      break;
    }
    case formats::FileKind::kUnknown: {
      const auto kind =
          formats::content_text({reinterpret_cast<const char*>(file->data()), file->size()});
      throw std::runtime_error(fmt::format("{}: {} (uvic reads {})",
                                           path.string(),
                                           kind.empty() ? "of no kind that uvic reads" : kind,
                                           formats::readable_kinds_text()));
    }
  }
}

uint64_t folder_bytes(const fs::path& path) {
  uint64_t total = 0;
  std::error_code error;
  for (const auto& entry :
       fs::recursive_directory_iterator(path, fs::directory_options::skip_permission_denied, error))
    if (entry.is_regular_file(error)) total += entry.file_size(error);
  return total;
}

/// Tensors and network of the weights that the folder stands for.
void add_weights(const fs::path& folder, json& report) {
  const auto weights = find_weights(folder);
  json inner;
  inspect_file(weights, inner);
  report["weights"] = weights.string();
  for (const auto* key : {"tensors", "metadata"})
    if (inner.contains(key)) report[key] = inner[key];
  describe_network(folder, report);
}

void inspect_run(const fs::path& path, json& report) {
  const RunDir run(path);
  report["kind"] = "run folder";
  auto options = read_run_config(run);
  report["config"] = fields_json(options);
  json facts = {{"total_images", options.total_images}, {"resumes", !run.states().empty()}};
  auto checkpoints = json::array();
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path / "weights", error))
    if (entry.path().extension() == ".safetensors")
      checkpoints.push_back(entry.path().stem().string());
  std::sort(checkpoints.begin(), checkpoints.end());
  auto scores = json::array();
  const auto stats = run.read_stats();
  for (const auto& line : stats)
    if (line.contains("distance")) scores.push_back(line);
  for (auto line = stats.rbegin(); line != stats.rend(); ++line)
    if (line->contains("loss")) {
      facts["last"] = *line;
      break;
    }
  facts["scores"] = scores;
  report["run"] = facts;
  report["run"]["checkpoints"] = checkpoints;
  try {
    if (!checkpoints.empty()) add_weights(path, report);
  } catch (const std::runtime_error& error) {  // weights that do not belong to the state
    report["note"] = error.what();
  }
}

void inspect_folder(const fs::path& path, json& report) {
  report["size_bytes"] = folder_bytes(path);
  std::error_code ignored;
  if (fs::exists(path / "config.toml", ignored) || RunDir(path).is_run())
    return inspect_run(path, report);
  fs::path weights;
  try {
    weights = find_weights(path);
  } catch (const std::runtime_error&) {  // no folder of weights
  }
  if (!weights.empty()) {
    report["kind"] = "checkpoints of the official code";
    return add_weights(path, report);
  }
  if (const auto cifar = data::find_cifar10(path); !cifar.empty()) {
    report["kind"] = "CIFAR-10, binary version";
    for (const auto* part : {"train", "test"}) {
      if (!fs::exists(cifar / (part == std::string("test") ? "test_batch.bin" : "data_batch_1.bin"),
                      ignored))
        continue;
      report[report.contains("pictures") ? "test_pictures" : "pictures"] =
          cifar_json(data::Cifar10(cifar, part, 32));
    }
    return;
  }
  report["kind"] = "folder of pictures";
  if (fs::exists(path / "samples.json", ignored)) {
    report["kind"] = "folder of samples";
    report["content"] = outline(formats::read_json(path / "samples.json"));
  }
  const auto container = data::open_image_folder(path);
  report["pictures"] = pictures_json(*container, sizes_of(path.string()));
}

/// A path that is there, or else a shipped config by name.
fs::path find_path(const fs::path& given) {
  std::error_code ignored;
  if (fs::exists(given, ignored)) return given;
  try {
    return find_config(given.string());
  } catch (const std::invalid_argument&) {
    throw std::runtime_error(given.string() + ": no such file or folder, and no shipped config");
  }
}

}  // namespace

json inspect(const fs::path& given) {
  const auto path = find_path(given);
  std::error_code ignored;
  json report = {{"path", path.string()}};
  if (fs::is_directory(path, ignored))
    inspect_folder(path, report);
  else
    inspect_file(path, report);
  return report;
}

void add_inspect_command(CLI::App& app) {
  struct Options {
    std::string file;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand(
      "inspect", "What a file or folder holds: tensors, config, training step, pictures");
  command
      ->add_option("FILE",
                   options->file,
                   "Weights, arrays, pictures, a config (by path or shipped name), a run folder: "
                   "anything that uvic reads")
      ->required();
  command->add_flag("--json", options->json, "Everything as one JSON object");
  command->callback([options] {
    const auto report = inspect(options->file);
    if (options->json)
      fmt::print("{}", formats::format_json(report));
    else
      print_inspection(report);
  });
}

}  // namespace uvic::app
