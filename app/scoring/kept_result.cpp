#include "app/scoring/kept_result.h"

namespace uvic::app {

nlohmann::json sample_identity(const std::filesystem::path& samples) {
  auto record = formats::read_json(samples / "samples.json");
  for (const auto* key :
       {"seconds", "images_per_sec", "run", "checkpoint", "version", "finished", "grid"})
    record.erase(key);
  return record;
}

}  // namespace uvic::app
