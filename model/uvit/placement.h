// Which blocks use the chosen attention; the others keep softmax.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/table.h"

namespace uvic::model {

/// A placement by a word.
struct PlacementRule {
  const char* name;
  const char* help;
  bool (*picks)(int64_t block, int64_t blocks);
};
base::Table<PlacementRule>& placement_rules();

/// For each of `blocks` blocks, in the order of the forward pass and counted from 0, whether the
/// rule picks it.
///
/// `rule`: a word of placement_rules(), or a list of numbers and ranges as "1-5,7". Throws
/// std::invalid_argument on another rule, a number beyond the last block, or a range that runs
/// backwards. Source of "inner": Lv et al. 2024, arXiv:2411.07176, sec. 4, and its code.
std::vector<bool> place_attention(const std::string& rule, int64_t blocks);

}  // namespace uvic::model
