#include <vector>

#include "data/tokens/token_source.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// Tokens to train on: the bytes as text, as uint16 tokens, as an array.
UVIC_FUZZ_TARGET(token_source, ".bin", ".npy", ".txt") {
  using namespace uvic;
  static const fuzz::ScratchFolder folder;
  data::TokenOptions options;
  options.length = 4;
  data::TokenUse use;
  use.vocabulary = 64;
  fuzz::Attempts attempt;
  for (const char* name : {"tokens.txt", "tokens.bin", "tokens.npy"}) {
    const auto file = folder.write(name, fuzz::repaired(name, bytes));
    for (const auto split : {data::TokenSplit::kTrain, data::TokenSplit::kHeldOut}) {
      use.split = split;
      attempt([&] {
        const auto source = data::open_token_source(file.string(), options, use);
        std::vector<int64_t> tokens(4), targets(4), parts(4);
        source->fingerprint();
        for (int64_t position : {0, 1, 7}) {
          source->read(3, position, {tokens.data(), targets.data(), parts.data()});
          for (const auto token : tokens)
            if (token < 0 || token >= source->vocabulary())
              throw std::logic_error("a token outside the vocabulary");
          source->tokenizer()->decode(tokens);
        }
      });
    }
  }
  attempt.finish();
}
