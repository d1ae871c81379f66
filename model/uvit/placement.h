// Which blocks use the chosen attention; the others keep softmax.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace uvic::model {

/// For each of `blocks` blocks, in the order of the forward pass and counted from 0, whether the
/// rule picks it.
///
/// `rule`: "inner" all but the first and the last (as U-ViC), "all", "none", or a list of numbers
/// and ranges as "1-5,7". Throws std::invalid_argument on another rule, a number beyond the last
/// block, or a range that runs backwards. Source of "inner": Lv et al. 2024, arXiv:2411.07176, sec.
/// 4, and its code.
std::vector<bool> place_attention(const std::string& rule, int64_t blocks);

}  // namespace uvic::model
