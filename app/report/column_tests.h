// Whether columns of a report differ: tests over training seeds, with their effect sizes.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace uvic::app {

/// Every test of a metric between `entries` (see report_data.h): each column against the column
/// named `baseline`, or, where that is empty, every pair. No column is picked by its score.
///
///   of, against           names of columns; with a baseline `against` is the baseline
///   better                the one with the better mean; null where they are equal
///   difference            mean of `of` - mean of `against`
///   p, interval, freedom  of the paired t-test over training seeds where both columns have the
///                         same seeds, else of Welch's; interval: 95 % of this difference. Null
///                         where a column has one seed
///   paired, test          the test in words
///   effect, effect_interval  Hedges' g (significance.h); null where nothing varies
///   p_adjusted            Holm's correction for the number of tests of this metric
///   detectable            the true difference that this test finds in 4 of 5 repetitions, at 5 %
///                         over the number of tests
///   error, within_score_error  with one seed: the standard error of the difference of two scores,
///                         paired where both have the same sample seeds, or scored the same
///                         sequences; whether the difference is
///                         below twice that. Null where errors are not known
///
/// Networks of sequences are tested only where both scored the same sequences. Empty for fewer than
/// two scored entries, or where the direction of the metric is not known.
/// Throws std::invalid_argument where no entry is named `baseline`.
nlohmann::json column_tests(const nlohmann::json& entries,
                            const std::string& metric,
                            const std::string& baseline);

/// Whether all scores of two entries are of the same sequences; of images always.
bool on_same_sequences(const nlohmann::json& a, const nlohmann::json& b);

/// Whether all scored entries are: else no value of a row is the best.
bool all_on_same_sequences(const nlohmann::json& entries);

/// The verdict of tests that column_tests() made, in a few sentences: who differs, by how much,
/// with what probability, and what the number of seeds can't show.
std::string tests_text(const nlohmann::json& entries,
                       const std::string& metric,
                       const std::string& baseline,
                       const nlohmann::json& tests);

}  // namespace uvic::app
