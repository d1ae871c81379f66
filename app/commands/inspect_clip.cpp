#include "app/commands/inspect_clip.h"

#include <fmt/format.h>

#include "model/latent/clip_text.h"

namespace uvic::app {

using nlohmann::json;

bool describe_clip_text(const std::filesystem::path& path,
                        const model::NamedTensors& tensors,
                        json& report) {
  if (model::clip_text_mark(tensors).empty()) return false;
  try {
    std::vector<std::string> notes;
    const auto clip = model::ClipText::open(path, &notes);
    const auto& config = clip.config();
    report["text_encoder"] = {{"kind", "CLIP"},
                              {"vocabulary", config.vocabulary},
                              {"positions", config.positions},
                              {"width", config.width},
                              {"layers", config.layers},
                              {"heads", config.heads},
                              {"hidden", config.hidden},
                              {"activation", config.quick_gelu ? "quick_gelu" : "gelu"},
                              {"epsilon", config.epsilon},
                              {"parameters", clip.parameters()},
                              {"notes", notes}};
  } catch (const std::exception& error) {
    report["text_encoder"] = {{"fault", error.what()}};
  }
  return true;
}

std::vector<std::pair<std::string, std::string>> clip_text_lines(const json& found) {
  if (found.contains("fault")) return {{"text encoder", found["fault"].get<std::string>()}};
  const auto number = [&](const char* key) { return found[key].get<int64_t>(); };
  std::vector<std::pair<std::string, std::string>> lines = {
      {"text encoder",
       fmt::format("CLIP, {} layers, width {}, {} heads, {} inside, {}",
                   number("layers"),
                   number("width"),
                   number("heads"),
                   number("hidden"),
                   found["activation"].get<std::string>())},
      {"", fmt::format("{} tokens of {} ids", number("positions"), number("vocabulary"))},
      {"", fmt::format("{} parameters", number("parameters"))}};
  for (const auto& note : found["notes"]) lines.emplace_back("note", note.get<std::string>());
  return lines;
}

}  // namespace uvic::app
