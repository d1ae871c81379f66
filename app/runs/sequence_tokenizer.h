// The tokenizer of a network of sequences: whether it belongs to it.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "data/tokens/tokenizer.h"
#include "model/network_config.h"

namespace uvic::app {

/// Throws std::invalid_argument where `tokenizer`, whose text `file` names, is not that of the
/// network: it has more tokens, or fewer by 1024 or more (vocabularies are padded to a multiple of
/// up to that), or `trained_on`, the fingerprint of the training data, names another file of a
/// tokenizer. What is built in has no file, and is accepted.
void require_tokenizer_of(const model::NetworkInput& input,
                          const data::Tokenizer& tokenizer,
                          const std::string& file,
                          const std::string& trained_on);

/// "tokenizer.json HASH" or "sentencepiece HASH" at the end of a fingerprint of token files; empty
/// where the tokens come from no tokenizer file.
std::string tokenizer_in(const std::string& fingerprint);

/// The fingerprint of the data that weights with this metadata were trained on; empty where it does
/// not say.
std::string data_fingerprint_in(const std::map<std::string, std::string>& metadata);

/// The same of a file of weights.
std::string data_fingerprint_of(const std::filesystem::path& weights);

}  // namespace uvic::app
