#include "app/runs/run_paths.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "data/formats/json.h"
#include "metrics/extractor_kinds.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// The folder of the latest launch that recorded one; empty where none did or can be read.
fs::path launch_folder(const RunDir& run) {
  if (!is_there(run.provenance())) return {};
  try {
    const auto record = formats::read_json(run.provenance());
    const auto& launches = record.at("launches");
    for (auto launch = launches.rbegin(); launch != launches.rend(); ++launch)
      if (launch->contains("folder")) return launch->at("folder").get<std::string>();
  } catch (const std::exception&) {  // what the record is needed for reports it
  }
  return {};
}

/// "PATH", and the part that follows it: ":train", ":test" or nothing.
std::pair<std::string, std::string> without_part(const std::string& source) {
  for (const std::string part : {":train", ":test"})
    if (source.size() > part.size() && source.substr(source.size() - part.size()) == part)
      return {source.substr(0, source.size() - part.size()), part};
  return {source, ""};
}

void find(std::string& source, const fs::path& folder) {
  if (source.empty() || is_there(source)) return;
  const auto [path, part] = without_part(source);
  if (fs::path(path).is_absolute() || is_there(path) || !is_there(folder / path)) return;
  source = (folder / path).lexically_normal().string() + part;
}

}  // namespace

void find_from_launch_folder(const RunDir& run, RunConfig& config) {
  const auto folder = launch_folder(run);
  if (folder.empty()) return;
  for (auto* source : {&config.data, &config.score_ref, &config.init, &config.inception})
    find(*source, folder);
  if (metrics::is_extractor_file(config.score_extractor)) find(config.score_extractor, folder);
}

}  // namespace uvic::app
