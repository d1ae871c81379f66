#include "data/tokens/generated_task.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "data/permutation.h"

namespace uvic::data {
namespace {

constexpr uint64_t kTrainStream = 0x747261696e, kHeldOutStream = 0x68656c64;  // "train", "held"
constexpr uint64_t kSplitKey = 0x73706c6974;                                  // "split"
constexpr uint64_t kHeldOutShare = 8;  ///< one of so many sequences is held out

class GeneratedTask : public TokenSource {
 public:
  GeneratedTask(Rule rule, TokenSplit split)
      : rule_(std::move(rule)), split_(split), tokenizer_(make_word_tokenizer(rule_.token_names)) {}

  int64_t length() const override { return rule_.length; }
  int64_t vocabulary() const override { return tokenizer_->vocabulary(); }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return tokenizer_; }
  std::vector<std::string> part_names() const override { return rule_.parts; }

  int64_t read(uint64_t seed, int64_t position, const TokenRow& row) const override {
    const auto draft = make(seed, position);
    const auto length = static_cast<size_t>(rule_.length);
    for (size_t i = 0; i < length; ++i) {
      row.tokens[i] = draft.tokens[i];
      row.targets[i] = draft.part[i + 1] >= 0 ? draft.tokens[i + 1] : -1;
      if (row.parts) row.parts[i] = std::max<int64_t>(0, draft.part[i + 1]);
    }
    return draft.size;
  }

  std::string describe() const override {
    return fmt::format("{}: {}, sequences of {}{}",
                       rule_.name,
                       rule_.description,
                       rule_.length,
                       split_ == TokenSplit::kHeldOut ? ", held out" : "");
  }
  std::string fingerprint() const override {
    return fmt::format("generated {} {} length={}", rule_.name, rule_.description, rule_.length);
  }

 private:
  bool is_held_out(const Draft& draft) const {
    if (const int64_t index = rule_.index(draft); index >= 0) {
      const auto share = std::max<int64_t>(1, rule_.count / static_cast<int64_t>(kHeldOutShare));
      return Permutation(rule_.count, kSplitKey)(index) < share;
    }
    uint64_t hash = kSplitKey;
    // The last token is a target only. Where it does not count, no network sees it.
    const size_t seen = draft.tokens.size() - (draft.part.back() < 0 ? 1 : 0);
    for (size_t i = 0; i < seen; ++i)
      hash = base::hash2(hash, static_cast<uint64_t>(draft.tokens[i]));
    return hash % kHeldOutShare == 0;
  }

  /// Sequences are made until one is of the wanted part.
  Draft make(uint64_t seed, int64_t position) const {
    constexpr uint64_t kMostTries = 100000;
    const auto stream = base::hash2(
        base::hash2(seed, split_ == TokenSplit::kHeldOut ? kHeldOutStream : kTrainStream),
        static_cast<uint64_t>(position));
    for (uint64_t attempt = 0; attempt < kMostTries; ++attempt) {
      base::RandomStream random(stream, attempt);
      Draft draft;
      draft.size = rule_.length;
      rule_.make(random, rule_.length + 1, draft);
      draft.tokens.resize(static_cast<size_t>(rule_.length + 1), 0);
      draft.part.resize(static_cast<size_t>(rule_.length + 1), -1);
      if (split_ == TokenSplit::kAll || is_held_out(draft) == (split_ == TokenSplit::kHeldOut))
        return draft;
    }
    throw std::runtime_error(fmt::format(
        "{}: no sequence of this part in {} tries; give more symbols or longer sequences",
        rule_.name,
        kMostTries));
  }

  Rule rule_;
  TokenSplit split_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace

std::unique_ptr<TokenSource> make_generated_task(Rule rule, TokenSplit split) {
  return std::make_unique<GeneratedTask>(std::move(rule), split);
}

}  // namespace uvic::data
