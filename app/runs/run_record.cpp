#include "app/runs/run_record.h"

#include <unistd.h>

#include "data/formats/json.h"

namespace uvic::app {
namespace {

nlohmann::json read_record(const RunDir& run) {
  std::error_code ignored;
  if (!std::filesystem::exists(run.provenance(), ignored)) return nullptr;
  auto record = formats::read_json(run.provenance());
  return record.is_object() ? record : nlohmann::json();
}

}  // namespace

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? std::string(name) : "unknown";
}

void record_launch(const RunDir& run, const nlohmann::json& first, const nlohmann::json& launch) {
  auto record = read_record(run);
  if (record.is_null()) record = first;
  if (!record.contains("run_id") && first.contains("run_id")) record["run_id"] = first["run_id"];
  if (first.contains("init")) record["init"] = first["init"];
  if (!record.contains("launches") || !record["launches"].is_array())
    record["launches"] = nlohmann::json::array();
  record["launches"].push_back(launch);
  formats::write_json(run.provenance(), record);
}

nlohmann::json last_launch(const RunDir& run) {
  const auto record = read_record(run);
  if (!record.is_object() || !record.contains("launches") || !record["launches"].is_array() ||
      record["launches"].empty() || !record["launches"].back().is_object())
    return nlohmann::json::object();
  return record["launches"].back();
}

void record_images(const RunDir& run, int64_t images_seen) {
  auto record = read_record(run);
  if (record.is_null() || !record.contains("launches") || !record["launches"].is_array() ||
      record["launches"].empty() || !record["launches"].back().is_object())
    return;
  record["launches"].back()["to"] = images_seen;
  formats::write_json(run.provenance(), record);
}

}  // namespace uvic::app
