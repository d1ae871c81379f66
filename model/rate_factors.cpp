#include "model/rate_factors.h"

namespace uvic::model {
namespace {

bool begins_with(const std::string& name, const std::string& begin) {
  return name.rfind(begin, 0) == 0;
}

bool ends_with(const std::string& name, const std::string& end) {
  return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

/// Whether the inputs of a product are as many as the network is wide, or a multiple of that.
bool has_wide_inputs(const std::string& name) {
  if (name == "decoder_pred.weight" || name == "fusion.weight") return true;
  if (begins_with(name, "time_embed.") || begins_with(name, "alignment_head."))
    return ends_with(name, ".weight");
  if (name.find("_block") == std::string::npos) return false;  // in_blocks, mid_block, out_blocks
  for (const auto* end : {".qkv.weight",
                          ".proj.weight",
                          ".gate.weight",
                          ".fc1.weight",
                          ".fc2.weight",
                          ".w12.weight",
                          ".w3.weight",
                          ".skip_linear.weight"})
    if (ends_with(name, end)) return true;
  return false;
}

}  // namespace

double wide_rate_factor(const NetworkConfig& config) {
  const auto& c = config.uvit;
  if (config.kind != "uvit" || c.init != "mup") return 1;
  return static_cast<double>(c.base_width) / static_cast<double>(c.embed_dim);
}

std::vector<double> rate_factors(const NetworkConfig& config,
                                 const std::vector<std::string>& names) {
  const double factor = wide_rate_factor(config);
  if (factor == 1) return {};
  std::vector<double> factors;
  for (const auto& name : names) factors.push_back(has_wide_inputs(name) ? factor : 1);
  return factors;
}

}  // namespace uvic::model
