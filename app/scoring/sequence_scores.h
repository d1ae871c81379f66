// The scores of networks of sequences as a comparison reports them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/scoring/score_tokens.h"

namespace uvic::app {

/// The metrics of sequences by name, in the order of their list: loss (nats a token), perplexity,
/// accuracy (% of the tokens) and whole (% of the sequences all of whose tokens are right). "": the
/// first three; "all": all four. Throws std::invalid_argument for other names, and for one that is
/// given twice.
std::vector<std::string> parse_sequence_metrics(const std::string& list);

/// A score as in report_data.h: "metrics" in the order of `metrics`, "parts" and "sizes" as in
/// TokenScore::json(), "sequences" and "length", the tokens of a sequence.
///
/// A metric's "std" is its standard error over sequences, "leave_out" (loss, perplexity, accuracy)
/// its values without each part of the sequences. Values that are not finite are left out.
nlohmann::json sequence_score(const TokenScore& score, const std::vector<std::string>& metrics);

/// The same of a network that knows nothing: every token of the vocabulary is as likely.
nlohmann::json uniform_guess(int64_t vocabulary, const std::vector<std::string>& metrics);

}  // namespace uvic::app
