// Text files and arrays of tokens as one stream, memory-mapped, cut into sequences.
#pragma once

#include <memory>
#include <string>

#include "data/tokens/token_source.h"

namespace uvic::data {

/// The stream of documents, each with the tokenizer's start() before it and followed by its
/// boundary, cut into sequences of
/// length() tokens without gaps (a sequence may hold a boundary).
///
/// Position p is in epoch p / n of n sequences, which begin at a random offset that is the epoch's
/// own, in the epoch's own order: both are functions of (seed, epoch). The held-out part is the end
/// of the stream; its sequences are in order, and begin at its first token. Throws
/// std::runtime_error naming a file that is empty, is no UTF-8 or can't be read.
///
/// Bytes are read from the mapped files. Another tokenizer encodes all of them at once, a file on a
/// thread each; their tokens stay in memory, four bytes each.
std::unique_ptr<TokenSource> open_token_files(const std::string& source,
                                              const TokenOptions& options,
                                              const TokenUse& use);

}  // namespace uvic::data
