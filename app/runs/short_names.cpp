#include "app/runs/short_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "app/runs/network_options.h"
#include "base/check.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

/// Whether a network of that kind, or its training, reads the option.
bool is_read(const std::string& option, const RunConfig& config) {
  const auto& kind = config.model.kind;
  if (base::begins_with(option, "model.")) return is_read_by_network(option, kind);
  if (base::begins_with(option, "tokens.")) return config.is_of_sequences();
  for (const auto* of_images : {"diffusion.", "sample.", "dataset."})
    if (base::begins_with(option, of_images)) return !config.is_of_sequences();
  return true;
}

}  // namespace

std::vector<std::string> with_full_names(std::vector<std::string> assignments,
                                         RunConfig config,
                                         const std::string& where) {
  for (auto& assignment : assignments) {
    const auto end = std::min(assignment.find('='), assignment.size());
    auto name = assignment.substr(0, end);
    std::replace(name.begin(), name.end(), '-', '_');
    if (name.empty() || name.find('.') != std::string::npos) continue;
    bool is_whole = false;
    std::vector<std::string> candidates;
    base::visit_leaves(config, [&](const std::string& option, auto&, const base::Field&) {
      is_whole = is_whole || option == name;
      if (option.substr(option.rfind('.') + 1) == name && is_read(option, config))
        candidates.push_back(option);
    });
    if (is_whole || candidates.empty()) continue;
    base::require(candidates.size() == 1,
                  "{}: {} may be {}; write one of them",
                  where,
                  name,
                  fmt::join(candidates, " or "));
    assignment = candidates.front() + assignment.substr(end);
  }
  return assignments;
}

}  // namespace uvic::app
