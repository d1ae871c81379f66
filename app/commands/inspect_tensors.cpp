#include "app/commands/inspect_tensors.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <string>
#include <variant>

#include "app/commands/inspect_autoencoder.h"
#include "app/commands/inspect_clip.h"
#include "app/options/fields_json.h"
#include "app/runs/run_parts.h"
#include "app/runs/weights_file.h"
#include "base/tensor_text.h"
#include "data/formats/npy.h"
#include "data/formats/safetensors.h"
#include "data/formats/torch_pickle.h"
#include "metrics/array_source.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

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

}  // namespace

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
  if (!file.is_network) describe_clip_text(file.path, file.tensors, report);
  if (file.step) report["step"] = *file.step;
  if (const auto seen = file.metadata.find("uvic.images_seen"); seen != file.metadata.end())
    report["images_seen"] = std::atoll(seen->second.c_str());
  if (!file.is_network) {
    describe_autoencoder(path, file.tensors, report);
    return;
  }
  json network = json::object();
  if (!file.prefix.empty()) network["prefix"] = file.prefix;
  if (!file.notes.empty()) network["notes"] = file.notes;
  try {
    auto described = network_config(file, {});
    network["config"] = nested_fields_json(described.training.model);
    network["origin"] = described.origin;
    network["assumed"] = described.assumed;
    if (!described.recipe.empty()) network["recipe"] = described.recipe;
  } catch (const std::exception& error) {
    network["fault"] = error.what();
  }
  report["network"] = network;
}

void inspect_safetensors(const std::shared_ptr<const formats::MappedFile>& file, json& report) {
  const auto read = formats::read_safetensors(file);
  report["kind"] = "safetensors";
  if (const auto kind = read.metadata.find("uvic.kind"); kind != read.metadata.end())
    report["kind"] = "safetensors: " + kind->second;
  report["tensors"] = tensor_rows(read.tensors);
  report["metadata"] = read.metadata;
  if (!read.tensors.empty()) describe_network(file->name(), report);
}

void inspect_pth(const std::shared_ptr<const formats::MappedFile>& file, json& report) {
  const auto read = formats::read_pth_file(file);
  report["kind"] = "pth: a file of torch.save";
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

void inspect_npy(const fs::path& path, json& report) {
  report["kind"] = "npy";
  report["tensors"] = json::array();
  const metrics::ArrayFile arrays(path.string());
  for (const auto& [name, info] : arrays.arrays())
    report["tensors"].push_back(tensor_row(name == "-" ? "" : name, info.dtype, info.shape));
}

void inspect_npz(const std::shared_ptr<const formats::MappedFile>& file, json& report) {
  const formats::NpzFile npz(file);
  report["kind"] = "npz";
  report["tensors"] = json::array();
  const metrics::ArrayFile arrays(file->name());
  for (const auto& [name, info] : arrays.arrays())
    report["tensors"].push_back(tensor_row(name, info.dtype, info.shape));
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

}  // namespace uvic::app
