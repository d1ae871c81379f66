#include "app/runs/network_options.h"

#include "app/options/fields_json.h"
#include "base/text_format.h"
#include "model/network_options.h"

namespace uvic::app {
namespace {

/// Not where the computation is the same: a choice of memory, and of how training starts and goes.
bool decides_on_values(const std::string& option) {
  const auto name = option.substr(option.rfind('.') + 1);
  return name != "use_checkpoint" && name != "init" && name != "base_width";
}

}  // namespace

bool is_read_by_network(const std::string& option, const std::string& kind) {
  if (option == "model.kind") return true;
  const auto is_in = [&](const std::string& section) {
    return base::begins_with(option, "model." + section + ".");
  };
  if (const auto own = model::network_section(kind); !own.empty()) return is_in(own);
  for (const auto& other : model::network_choices())
    if (const auto section = model::network_section(other.name); !section.empty() && is_in(section))
      return false;
  return true;
}

nlohmann::json network_record(const model::NetworkConfig& config) {
  const auto all = fields_json(config);
  auto record = nlohmann::json::object();
  for (const auto& [name, value] : all.items())
    if (is_read_by_network("model." + name, config.kind) && decides_on_values(name))
      record[name] = value;
  // Options that came later than the first records: a network without them has the record of then.
  const auto plain = fields_json(model::NetworkConfig());
  for (const auto* later : {"class_tokens", "patch_bottleneck", "augment_dim", "fusion"})
    if (record.contains(later) && record[later] == plain[later]) record.erase(later);
  if (!record.contains("class_tokens")) record.erase("class_tokens_from");
  return record;
}

}  // namespace uvic::app
