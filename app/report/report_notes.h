// What a report says of its numbers: what their errors are, and the tests.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace uvic::app {

/// What the error bars of the primary metric are. `data` as in report_data().
std::string score_caption(const nlohmann::json& data);

/// What the numbers of the table and their errors are, and how they were tested.
std::string numbers_note(const nlohmann::json& data);

/// The tests of every metric, a row each, for the page: of, against, metric, difference, effect, p,
/// test, detectable.
nlohmann::json tests_view(const nlohmann::json& data);

}  // namespace uvic::app
