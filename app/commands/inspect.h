// uvic inspect: what a file or folder holds, for people and, with --json, for programs.
#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <nlohmann/json.hpp>

namespace uvic::app {

/// What is at `given`, a path or else the name of a shipped config: "path", "kind",
/// "size_bytes", and of these what the kind has:
///
/// "tensors" (a list of name, dtype, shape, bytes), "parameters" ("elements" of what is no
/// network), "network" (config: the fields of model::NetworkConfig; origin; assumed; or fault,
/// where the tensors do not determine a config), "step", "images_seen", "metadata", "values"
/// (scalars of a .pth), "other_values", "image" (width, height), "sample" (how uvic made it; texts
/// of other PNGs are "metadata"), "images" (count, image_size, labels, classes: name and count),
/// "run" (checkpoints, scores, ...), "content" (of a JSON file), "config" (of a run or a TOML
/// file).
///
/// Throws std::runtime_error naming a file that is damaged or of no kind that uvic reads.
nlohmann::json inspect(const std::filesystem::path& given);

void add_inspect_command(CLI::App& app);

}  // namespace uvic::app
