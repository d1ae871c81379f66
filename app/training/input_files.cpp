#include "app/training/input_files.h"

#include <fmt/format.h>

#include <stdexcept>

#include "data/source_path.h"
#include "data/tokens/token_source.h"
#include "metrics/extractor_kinds.h"

namespace uvic::app {
namespace {

/// The path without the part behind `mark`, where that is no letter of the path itself.
std::string without_part(const std::string& source, char mark) {
  const auto at = source.rfind(mark);
  return data::is_there(source) || at == std::string::npos ? source : source.substr(0, at);
}

void require_there(const char* option, const std::string& source, char mark) {
  if (source.empty() || data::is_there(without_part(source, mark))) return;
  throw std::runtime_error(fmt::format("--{} {}: no such file or folder", option, source));
}

bool is_made_on_the_fly(const RunConfig& config, const std::string& source) {
  if (config.is_of_sequences()) return data::sequence_tasks().find(source) != nullptr;
  return data::is_made_on_the_fly(source);
}

}  // namespace

void require_input_files(const RunConfig& config, bool begins) {
  if (config.score_images > 0) {
    if (!is_made_on_the_fly(config, config.score_ref))
      require_there("score_ref", config.score_ref, ':');  // FILE.npz:ARRAY, FOLDER:test
    require_there("inception", config.inception, '\0');
    if (metrics::is_extractor_file(config.score_extractor))
      require_there("score_extractor", config.score_extractor, '\0');
  }
  if (begins) require_there("init", config.init, '@');  // RUN@IMAGES
}

}  // namespace uvic::app
