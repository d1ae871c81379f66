#include "app/commands/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "app/commands/inspect_images.h"
#include "app/commands/inspect_tensors.h"
#include "app/commands/inspect_text.h"
#include "app/options/assets.h"
#include "app/options/fields_json.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "app/runs/weights_file.h"
#include "app/sampling/sample_provenance.h"
#include "data/cifar10.h"
#include "data/formats/file_kind.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/image_folder.h"
#include "data/image_tars.h"
#include "data/image_zip.h"
#include "data/imagenet.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

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

[[noreturn]] void refuse_unknown(const formats::MappedFile& file) {
  const auto kind =
      formats::content_text({reinterpret_cast<const char*>(file.data()), file.size()});
  throw std::runtime_error(fmt::format("{}: {} (uvic reads {})",
                                       file.name(),
                                       kind.empty() ? "not a kind that uvic reads" : kind,
                                       formats::readable_kinds_text()));
}

/// What a PNG says of itself: of uvic's own samples as an object, "sample".
void add_texts(const std::vector<formats::ImageText>& texts, json& report) {
  if (texts.empty()) return;
  const auto sample = sample_text_in(texts);
  if (!sample.is_null()) report["sample"] = sample;
  auto others = json::object();
  for (const auto& text : texts)
    if (text.key != kSampleTextKey || sample.is_null())
      others[text.key] = text.note.empty() ? text.text : text.text + "(" + text.note + ")";
  report["metadata"] = std::move(others);
}

/// An archive, or those of a brace range as one set.
void inspect_tars(const std::string& source, const std::vector<fs::path>& tars, json& report) {
  uint64_t total = 0;
  for (const auto& tar : tars) total += fs::file_size(tar);
  const auto container = data::open_image_tars(source, tars);
  report["kind"] = container->kind() + " of images";
  report["size_bytes"] = total;
  report["images"] = images_json(*container, source);
}

void inspect_file(const fs::path& path, json& report) {
  const auto file = formats::MappedFile::open(path);
  report["size_bytes"] = file->size();
  switch (formats::file_kind(file)) {
    case formats::FileKind::kSafetensors:
      inspect_safetensors(file, report);
      break;
    case formats::FileKind::kPth:
      inspect_pth(file, report);
      break;
    case formats::FileKind::kTorchScript:
      report["kind"] = "TorchScript module";
      report["note"] =
          "a program with weights: a feature extractor for uvic fid --extractor FILE.pt";
      break;
    case formats::FileKind::kNpy:
      inspect_npy(path, report);
      break;
    case formats::FileKind::kNpz:
      inspect_npz(file, report);
      break;
    case formats::FileKind::kImageZip:
      report["kind"] = "zip archive of images";
      report["images"] = images_json(*data::open_image_zip(path), path.string());
      break;
    case formats::FileKind::kImage: {
      const auto image = formats::decode_image(file->data(), file->size(), path.string());
      report["kind"] = "image";
      report["image"] = {{"width", image.width}, {"height", image.height}};
      add_texts(formats::read_png_texts(file->data(), file->size(), path.string()), report);
      break;
    }
    case formats::FileKind::kCifarBatch:
      report["kind"] = "CIFAR-10, a batch of the binary version";
      report["images"] = cifar_batch_json(*file);
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
      report["config"] = nested_fields_json(options);
      report["parameters"] = model::parameter_count(options.model);
      break;
    }
    case formats::FileKind::kUnknown:
      if (const auto tars = data::find_tars(path.string()); !tars.empty()) {
        inspect_tars(path.string(), tars, report);
        break;
      }
      refuse_unknown(*file);
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

/// Tensors and network of the weights in the folder.
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
  report["config"] = nested_fields_json(options);
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

/// A pipeline of diffusers: its parts are folders, and model_index.json names their classes.
void inspect_pipeline(const fs::path& path, json& report) {
  report["kind"] = "diffusers pipeline";
  const auto index = formats::read_json(path / "model_index.json");
  if (!index.is_object()) return;
  auto parts = json::object();
  for (const auto& [name, value] : index.items()) {
    const bool is_part = value.is_array() && value.size() == 2 && value[1].is_string();
    if (is_part || value.is_string()) parts[name] = is_part ? value[1] : value;
  }
  report["content"] = parts;
  std::vector<std::string> readable;
  std::error_code ignored;
  for (const auto* part : {"vae", "text_encoder"})
    if (fs::is_directory(path / part, ignored)) readable.push_back((path / part).string());
  report["note"] = readable.empty()
                       ? "no part that uvic reads"
                       : fmt::format("parts that uvic reads: {}", fmt::join(readable, ", "));
}

/// The training images with the names of their classes, or the validation images where only those
/// are there.
void inspect_imagenet(const fs::path& path, json& report) {
  const auto take = [&](const std::string& part) {
    const auto container = data::open_imagenet(path, part);
    report["images"] = images_json(*container, path.string() + ":" + part);
    report["kind"] = "ImageNet in its own layout, part " + part;
  };
  try {
    take("train");
  } catch (const std::runtime_error& error) {
    const std::string first = error.what();
    try {
      take("val");
    } catch (const std::runtime_error&) {
      throw std::runtime_error(first);
    }
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
      report[report.contains("images") ? "test_images" : "images"] =
          cifar_json(data::Cifar10(cifar, part, 32));
    }
    return;
  }
  if (fs::exists(path / "model_index.json", ignored)) return inspect_pipeline(path, report);
  if (data::is_imagenet(path)) return inspect_imagenet(path, report);
  report["kind"] = "folder of images";
  if (fs::exists(path / "samples.json", ignored)) {
    report["kind"] = "folder of samples";
    report["content"] = outline(formats::read_json(path / "samples.json"));
  }
  const auto container = data::open_image_folder(path);
  report["images"] = images_json(*container, path.string());
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
  std::error_code ignored;
  if (!fs::exists(given, ignored)) {
    if (const auto tars = data::find_tars(given.string()); !tars.empty()) {
      json report = {{"path", given.string()}};
      inspect_tars(given.string(), tars, report);
      return report;
    }
  }
  const auto path = find_path(given);
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
      "inspect", "What a file or folder holds: tensors, config, training step, images");
  command
      ->add_option("FILE",
                   options->file,
                   "Weights, arrays, images, a config (by path or shipped name), a run folder: "
                   "anything that uvic reads")
      ->required();
  command->add_flag("--json", options->json, "Everything as one JSON object");
  command->callback([options] {
    const auto report = inspect(options->file);
    print_json(report);
    if (options->json)
      fmt::print("{}", formats::format_json(report));
    else
      print_inspection(report);
  });
}

}  // namespace uvic::app
