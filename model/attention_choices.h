// The tables of attention, as the fields of configs need them.
#pragma once

#include <vector>

#include "base/field.h"

namespace uvic::model {

/// The rows of the tables that the fields choose from.
std::vector<base::Choice> attention_choices();
std::vector<base::Choice> placement_choices();
/// The same, and the empty word for "as in the file".
inline std::vector<base::Choice> with_empty(std::vector<base::Choice> choices) {
  choices.insert(choices.begin(), base::Choice{"", ""});
  return choices;
}

}  // namespace uvic::model
