#include "app/runs/short_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "app/runs/read_options.h"
#include "base/check.h"

namespace uvic::app {

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
      if (option.substr(option.rfind('.') + 1) == name && unread_reason(option, config).empty())
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
