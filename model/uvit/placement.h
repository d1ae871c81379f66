// Which blocks use the chosen attention. The other blocks use softmax.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/table.h"

namespace uvic::model {

/// One row of the table of placement rules.
struct PlacementRule {
  const char* name;
  const char* help;
  bool (*picks)(int64_t block, int64_t blocks);
};
base::Table<PlacementRule>& placement_rules();

/// For each of `blocks` blocks, in the order of the forward pass: whether the rule selects it.
///
/// `rule` is a name of placement_rules(), or a list of numbers and ranges such as "1-5,7", with the
/// first block 0. Throws std::invalid_argument for another rule, a number beyond the last block, or
/// a decreasing range. Source of "inner": Lv et al. 2024, arXiv:2411.07176, sec. 4, and its code.
std::vector<bool> place_attention(const std::string& rule, int64_t blocks);

}  // namespace uvic::model
