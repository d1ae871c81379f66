// Corrections of misspelled names.
#pragma once

#include <string>
#include <vector>

namespace uvic::app {

/// The candidate nearest to `word` by edit distance, or "" if none is near. A word without a
/// section is also compared with the last part of a dotted candidate.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

/// "; did you mean NEAR?", or `otherwise` if `near` is empty.
std::string suggestion(const std::string& near, const std::string& otherwise);

}  // namespace uvic::app
