#include "app/commands/inspect_autoencoder.h"

#include <fmt/format.h>

#include "model/latent/autoencoder_file.h"

namespace uvic::app {

using nlohmann::json;

bool describe_autoencoder(const std::filesystem::path& path,
                          const model::NamedTensors& tensors,
                          json& report) {
  if (!model::holds_autoencoder(tensors)) return false;
  try {
    const auto file = model::open_autoencoder_file(path);
    const auto& config = file.config;
    int64_t parameters = 0;
    for (const auto& [name, tensor] : file.tensors) parameters += tensor.numel();
    report.erase("elements");
    report["parameters"] = parameters;
    json found = {{"shape", config.text()},
                  {"latent_channels", config.latent_channels},
                  {"downsampling", config.downsampling()},
                  {"base_channels", config.base_channels},
                  {"multipliers", config.multipliers},
                  {"blocks", config.blocks},
                  {"norm_groups", config.norm_groups},
                  {"names", file.layout},
                  {"prefix", file.prefix},
                  {"left_out", file.left_out},
                  {"encoder", file.has_encoder},
                  {"decoder", file.has_decoder},
                  {"notes", file.notes}};
    if (config.scaling_factor) found["scaling_factor"] = *config.scaling_factor;
    if (config.shift_factor != 0) found["shift_factor"] = config.shift_factor;
    report["autoencoder"] = found;
  } catch (const std::exception& error) {
    report["autoencoder"] = {{"fault", error.what()}};
  }
  return true;
}

std::vector<std::pair<std::string, std::string>> autoencoder_lines(const json& found) {
  if (found.contains("fault")) return {{"autoencoder", found["fault"].get<std::string>()}};
  std::vector<std::pair<std::string, std::string>> lines = {
      {"autoencoder", found["shape"].get<std::string>()},
      {"",
       found["encoder"] == found["decoder"] ? "encoder and decoder"
       : found["encoder"]                   ? "only the encoder"
                                            : "only the decoder"},
      {"", fmt::format("{} names", found["names"].get<std::string>())},
      {"scale factor",
       found.contains("scaling_factor")
           ? fmt::format("{}", found["scaling_factor"].get<double>())
           : "not in the file (0.18215 for Stable Diffusion 1 and 2)"}};
  if (found.contains("shift_factor"))
    lines.emplace_back("shift", fmt::format("{}", found["shift_factor"].get<double>()));
  if (const auto left_out = found["left_out"].get<int64_t>())
    lines.emplace_back("left out", fmt::format("{} tensors of other parts", left_out));
  for (const auto& note : found["notes"]) lines.emplace_back("note", note.get<std::string>());
  return lines;
}

}  // namespace uvic::app
