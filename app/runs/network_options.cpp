#include "app/runs/network_options.h"

#include "app/options/fields_json.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

/// The same computation: a choice of memory, and of weights that training starts from.
bool decides_on_values(const std::string& option) {
  const auto name = option.substr(option.rfind('.') + 1);
  return name != "use_checkpoint" && name != "init";
}

}  // namespace

bool is_read_by_network(const std::string& option, const std::string& kind) {
  const bool is_uvit = kind == "uvit", is_lm = kind == "decoder_lm";
  if (base::begins_with(option, "model.decoder_lm.")) return is_lm;
  if (base::begins_with(option, "model.small.")) return !is_uvit && !is_lm;
  return is_uvit || option == "model.kind";
}

nlohmann::json network_record(const model::NetworkConfig& config) {
  const auto all = fields_json(config);
  auto record = nlohmann::json::object();
  for (const auto& [name, value] : all.items())
    if (is_read_by_network("model." + name, config.kind) && decides_on_values(name))
      record[name] = value;
  return record;
}

}  // namespace uvic::app
