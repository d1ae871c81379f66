#include "data/bpe_merge.h"

#include <cstddef>
#include <functional>
#include <queue>
#include <utility>

namespace uvic::data {
namespace {

/// The symbols of a word as a linked list, and the merges that are possible between neighbours.
class Word {
 public:
  Word(const BpeMerges& merges, const std::vector<int32_t>& symbols) : merges_(merges) {
    symbols_.resize(symbols.size());
    for (size_t i = 0; i < symbols.size(); ++i)
      symbols_[i] = {symbols[i],
                     static_cast<ptrdiff_t>(i) - 1,
                     i + 1 == symbols.size() ? -1 : static_cast<ptrdiff_t>(i) + 1};
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) offer(static_cast<ptrdiff_t>(i));
  }

  void merge_all(bool whole_passes) {
    std::vector<Candidate> pass;
    while (!candidates_.empty()) {
      pass.clear();
      do {
        pass.push_back(candidates_.top());
        candidates_.pop();
      } while (whole_passes && !candidates_.empty() && candidates_.top().rank == pass.front().rank);
      for (const auto& candidate : pass) apply(candidate);
    }
  }

  void append_to(std::vector<int64_t>& ids) const {
    if (symbols_.empty()) return;
    for (ptrdiff_t at = 0; at >= 0; at = symbol(at).next) ids.push_back(symbol(at).id);
  }

 private:
  struct Symbol {
    int32_t id = 0;  // -1: merged into the one before it
    ptrdiff_t previous = -1, next = -1;
  };
  struct Candidate {
    int32_t rank = 0;
    ptrdiff_t left = 0;
    int32_t left_id = 0, right_id = 0, merged = 0;
    bool operator>(const Candidate& other) const {
      return std::pair(rank, left) > std::pair(other.rank, other.left);
    }
  };

  const Symbol& symbol(ptrdiff_t at) const { return symbols_[static_cast<size_t>(at)]; }
  Symbol& symbol(ptrdiff_t at) { return symbols_[static_cast<size_t>(at)]; }

  /// The merge of the symbol at `left` with the next, if there is one.
  void offer(ptrdiff_t left) {
    if (left < 0 || symbol(left).next < 0) return;
    const auto a = symbol(left).id, b = symbol(symbol(left).next).id;
    const auto found = merges_.find(BpeVocabulary::merge_key(a, b));
    if (found == merges_.end()) return;
    candidates_.push({found->second.rank, left, a, b, found->second.id});
  }

  void apply(const Candidate& candidate) {
    auto& left = symbol(candidate.left);
    if (left.id != candidate.left_id || left.next < 0 || symbol(left.next).id != candidate.right_id)
      return;  // one of the two has changed since
    auto& right = symbol(left.next);
    left.id = candidate.merged;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) symbol(left.next).previous = candidate.left;
    offer(left.previous);
    offer(candidate.left);
  }

  const BpeMerges& merges_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates_;
};

}  // namespace

void merge_symbols(const BpeMerges& merges,
                   const std::vector<int32_t>& symbols,
                   bool whole_passes,
                   std::vector<int64_t>& ids) {
  Word word(merges, symbols);
  word.merge_all(whole_passes);
  word.append_to(ids);
}

void merge_word(const BpeVocabulary& vocabulary,
                std::string_view word,
                bool whole_passes,
                std::vector<int64_t>& ids) {
  std::vector<int32_t> symbols;
  for (size_t i = 0; i < word.size(); ++i) {
    const auto byte = static_cast<unsigned char>(word[i]);
    symbols.push_back(i + 1 == word.size() ? vocabulary.last_bytes[byte] : vocabulary.bytes[byte]);
  }
  merge_symbols(vocabulary.merges, symbols, whole_passes, ids);
}

}  // namespace uvic::data
