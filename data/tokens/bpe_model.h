// The model "BPE" of a tokenizer.json: words to ids.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "data/bpe_merge.h"

namespace uvic::data {

/// Characters are symbols of the vocabulary. One that is none becomes its bytes ("<0x0A>", with
/// byte_fallback, where the vocabulary has them all), or unk_token, or, without that, nothing.
/// Neighbours are then merged, the lowest rank first.
class BpeModel {
 public:
  /// Ids of short words that occurred before, for one text.
  using Cache = std::unordered_map<std::string, std::vector<int64_t>>;

  /// From the object "model" of the file. Throws std::runtime_error that begins with `source`:
  /// another model, a merge without a token, ids that are no numbers, or a setting that is not
  /// understood (dropout, continuing_subword_prefix, end_of_word_suffix).
  BpeModel(const nlohmann::json& model, const std::string& source);

  /// Appends the ids of `word`, which is UTF-8.
  void encode(std::string_view word, Cache& cache, std::vector<int64_t>& ids) const;

  const std::unordered_map<std::string, int32_t>& vocabulary() const { return ids_; }

 private:
  void encode_whole(std::string_view word, std::vector<int64_t>& ids) const;
  void read_merges(const nlohmann::json& model, const std::string& source);

  std::unordered_map<std::string, int32_t> ids_;
  BpeMerges merges_;
  /// Pairs of the last character of one symbol and the first of another that some merge joins. A
  /// word is cut between any other two, as no merge reaches across.
  std::unordered_set<uint64_t> joined_;
  std::unordered_set<char32_t> characters_;  ///< those in the vocabulary
  std::vector<int32_t> byte_ids_;  ///< of <0x00> to <0xFF>, -1: absent; empty: no fallback
  int32_t unknown_ = -1;
  bool fuse_unknown_ = false, ignore_merges_ = false, may_cut_ = true, has_all_bytes_ = false;
};

}  // namespace uvic::data
