#include "data/tokens/sentencepiece_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <unordered_map>
#include <utility>

#include "data/formats/file_error.h"
#include "data/formats/xxh64.h"
#include "data/tokens/sentencepiece_model.h"
#include "data/tokens/sentencepiece_normalizer.h"
#include "data/tokens/utf8_walk.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

constexpr float kUnknownPenalty = 10;

/// A piece of a text, and its token.
using PieceList = std::vector<std::pair<std::string_view, int32_t>>;

/// A symbol of a text in a linked list.
struct BpeSymbol {
  ptrdiff_t previous, next;
  bool is_own;  ///< the user's, which is joined to nothing
  std::string_view piece;
};

/// Pieces by the bytes that they begin with, one byte an edge.
class PieceTrie {
 public:
  void add(const std::string& text, int32_t id) {
    uint64_t node = 0;
    for (const char c : text)
      node = edges_.emplace(key(node, c), ids_.size()).first->second, grow(node);
    ids_[node] = id;
  }
  /// The node behind `c`, or 0: there is none.
  uint64_t next(uint64_t node, char c) const {
    const auto found = edges_.find(key(node, c));
    return found == edges_.end() ? 0 : found->second;
  }
  int32_t id(uint64_t node) const { return ids_[node]; }

 private:
  static uint64_t key(uint64_t node, char c) { return node << 8 | static_cast<unsigned char>(c); }
  void grow(uint64_t node) {
    if (node == ids_.size()) ids_.push_back(-1);
  }
  std::unordered_map<uint64_t, uint64_t> edges_;
  std::vector<int32_t> ids_{-1};
};

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::string& bytes, const std::string& source)
      : model_(parse_sentencepiece(bytes, source)), normalizer_(model_, source) {
    formats::Xxh64 hash;
    hash.update(bytes.data(), bytes.size());
    hash_ = hash.hex();
    bytes_.assign(256, -1);
    for (size_t i = 0; i < model_.pieces.size(); ++i) add(static_cast<int32_t>(i), source);
    for (int b = 0; b < 256 && model_.byte_fallback; ++b) {
      const auto found = reserved_.find(fmt::format("<0x{:02X}>", b));
      if (found == reserved_.end())
        throw formats::file_error(source, fmt::format("byte_fallback without <0x{:02X}>", b));
      bytes_[static_cast<size_t>(b)] = found->second;
    }
    bos_ = control(model_.bos), eos_ = control(model_.eos);
  }

  int64_t vocabulary() const override { return static_cast<int64_t>(model_.pieces.size()); }
  int64_t boundary() const override { return eos_; }
  std::vector<int64_t> start() const override {
    return bos_ < 0 ? std::vector<int64_t>{} : std::vector<int64_t>{bos_};
  }
  std::string fingerprint() const override { return "sentencepiece " + hash_; }

  std::vector<int64_t> encode(const std::string& text, const std::string& source) const override {
    require_utf8(text, source);
    const auto normalized = normalizer_.normalize(text, own_);
    std::vector<int64_t> ids;
    bool after_unknown = false;  // unknown pieces next to each other are one token
    for (const auto& [piece, id] :
         model_.kind == SentencePieceKind::kBpe ? bpe(normalized) : unigram(normalized)) {
      const bool is_unknown = id == unknown_;
      if (is_unknown && model_.byte_fallback)
        for (const char c : piece) ids.push_back(bytes_[static_cast<unsigned char>(c)]);
      else if (!is_unknown || !after_unknown)
        ids.push_back(id);
      after_unknown = is_unknown;
    }
    return ids;
  }

  std::string decode(const std::vector<int64_t>& tokens) const override {
    std::string text, bytes;
    bool at_start = true, saw_prefix = false;
    for (const auto token : tokens) {
      if (token < 0 || token >= vocabulary()) continue;  // a network may have more
      const auto& piece = model_.pieces[static_cast<size_t>(token)];
      if (piece.type == PieceType::kByte) {
        bytes += static_cast<char>(byte_of_.at(static_cast<int32_t>(token)));
        continue;
      }
      append_bytes(std::exchange(bytes, ""), text);
      if (saw_prefix || !text.empty()) at_start = false;
      saw_prefix = false;
      if (piece.type == PieceType::kControl) continue;
      if (piece.type == PieceType::kUnknown)
        text += model_.unknown_text;
      else
        append_piece(piece.text, at_start, saw_prefix, text);
    }
    append_bytes(bytes, text);
    return text;
  }

 private:
  void add(int32_t id, const std::string& source) {
    const auto& piece = model_.pieces[static_cast<size_t>(id)];
    const auto type = piece.type;
    const bool is_text =
        type == PieceType::kNormal || type == PieceType::kUserDefined || type == PieceType::kUnused;
    if (piece.text.empty() || !(is_text ? ids_ : reserved_).emplace(piece.text, id).second)
      throw formats::file_error(source, fmt::format("piece {} is empty, or there twice", id));
    if (is_text) trie_.add(piece.text, id);
    if (type == PieceType::kUserDefined) own_.add(piece.text);
    if (type == PieceType::kUnknown) unknown_ = id;
    if (type == PieceType::kByte) {
      int value = -1;
      for (int b = 0; b < 256; ++b)
        if (piece.text == fmt::format("<0x{:02X}>", b)) value = b;
      if (value < 0)
        throw formats::file_error(source, fmt::format("piece {} is no byte", piece.text));
      byte_of_[id] = value;
    }
    if (type == PieceType::kNormal) {
      least_ = std::min(least_, piece.score);
      most_ = std::max(most_, piece.score);
    }
  }

  int32_t control(const std::string& text) const {
    const auto found = reserved_.find(text);
    const bool is_control =
        found != reserved_.end() &&
        model_.pieces[static_cast<size_t>(found->second)].type == PieceType::kControl;
    return is_control ? found->second : -1;
  }
  int32_t id_of(std::string_view piece) const {
    for (const auto* map : {&reserved_, &ids_})
      if (const auto found = map->find(std::string(piece)); found != map->end())
        return found->second;
    return unknown_;
  }
  bool is_unused(int32_t id) const {
    return model_.pieces[static_cast<size_t>(id)].type == PieceType::kUnused;
  }

  std::vector<BpeSymbol> symbols_of(std::string_view text) const;
  PieceList bpe(std::string_view text) const;
  PieceList unigram(std::string_view text) const;

  /// Bytes as text; each that is no UTF-8 becomes U+FFFD.
  static void append_bytes(std::string_view bytes, std::string& text) {
    while (!bytes.empty()) {
      const auto bad = find_bad_utf8(bytes);
      text += bytes.substr(0, bad.value_or(bytes.size()));
      if (!bad) return;
      text += "\xef\xbf\xbd";
      bytes.remove_prefix(*bad + 1);
    }
  }

  void append_piece(std::string_view piece,
                    bool at_start,
                    bool& saw_prefix,
                    std::string& text) const {
    const bool drops = at_start && (model_.add_dummy_prefix || model_.remove_extra_whitespaces);
    if (drops && piece.substr(0, kSpaceSymbol.size()) == kSpaceSymbol) {
      piece.remove_prefix(kSpaceSymbol.size());
      saw_prefix = !model_.remove_extra_whitespaces;  // else all of them are dropped
    }
    for (size_t at = 0; at < piece.size();) {
      if (piece.substr(at, kSpaceSymbol.size()) == kSpaceSymbol) {
        text += ' ';
        at += kSpaceSymbol.size();
      } else {
        text += piece[at++];
      }
    }
  }

  SentencePieceModel model_;
  SentencePieceNormalizer normalizer_;
  std::string hash_;
  std::unordered_map<std::string, int32_t> ids_, reserved_;  ///< of text; of all other pieces
  std::unordered_map<int32_t, int> byte_of_;
  std::vector<int32_t> bytes_;
  PieceTrie trie_;
  LongestPrefix own_;
  int32_t unknown_ = 0, bos_ = -1, eos_ = -1;
  float least_ = std::numeric_limits<float>::max(), most_ = std::numeric_limits<float>::min();
};

/// The user's own symbols, and single characters.
std::vector<BpeSymbol> SentencePieceTokenizer::symbols_of(std::string_view text) const {
  std::vector<BpeSymbol> symbols;
  for (size_t at = 0; at < text.size();) {
    const auto own = own_.find(text.substr(at));
    const size_t begin = at;
    if (own > 0)
      at += own;
    else
      next_character(text, at);
    const auto index = static_cast<ptrdiff_t>(symbols.size());
    symbols.push_back(
        {index - 1, at < text.size() ? index + 1 : -1, own > 0, text.substr(begin, at - begin)});
  }
  return symbols;
}

/// Neighbours whose text is a piece are joined, the highest score first, of equal ones the
/// leftmost.
PieceList SentencePieceTokenizer::bpe(std::string_view text) const {
  struct Join {
    float score;
    ptrdiff_t left, right;
    size_t bytes;
    bool operator<(const Join& other) const {
      return score < other.score || (score == other.score && left > other.left);
    }
  };
  auto symbols = symbols_of(text);
  const auto at = [&](ptrdiff_t i) -> BpeSymbol& { return symbols[static_cast<size_t>(i)]; };
  std::priority_queue<Join> joins;
  std::unordered_map<std::string_view, std::pair<std::string_view, std::string_view>> halves;
  const auto offer = [&](ptrdiff_t left, ptrdiff_t right) {
    if (left < 0 || right < 0 || at(left).is_own || at(right).is_own) return;
    const size_t bytes = at(left).piece.size() + at(right).piece.size();
    const std::string_view piece(at(left).piece.data(), bytes);
    const auto found = ids_.find(std::string(piece));
    if (found == ids_.end()) return;
    joins.push({model_.pieces[static_cast<size_t>(found->second)].score, left, right, bytes});
    if (is_unused(found->second)) halves[piece] = {at(left).piece, at(right).piece};
  };
  for (ptrdiff_t i = 0; i + 1 < static_cast<ptrdiff_t>(symbols.size()); ++i) offer(i, i + 1);
  while (!joins.empty()) {
    const auto join = joins.top();
    joins.pop();
    auto &left = at(join.left), &right = at(join.right);
    if (left.piece.empty() || right.piece.empty() ||
        left.piece.size() + right.piece.size() != join.bytes)
      continue;  // one of the two has changed since
    left.piece = {left.piece.data(), join.bytes};
    left.next = right.next;
    if (right.next >= 0) at(right.next).previous = join.left;
    right.piece = {};
    offer(left.previous, join.left);
    offer(join.left, left.next);
  }
  PieceList pieces;
  const std::function<void(std::string_view)> put = [&](std::string_view piece) {
    const auto id = id_of(piece);
    const auto split = halves.find(piece);
    if (!is_unused(id) || split == halves.end()) {
      pieces.emplace_back(piece, id);
      return;
    }
    put(split->second.first);
    put(split->second.second);
  };
  for (ptrdiff_t i = symbols.empty() ? -1 : 0; i >= 0; i = at(i).next) put(at(i).piece);
  return pieces;
}

/// The pieces of the largest sum of scores (Viterbi), in the arithmetic of the library.
PieceList SentencePieceTokenizer::unigram(std::string_view text) const {
  struct Best {
    int32_t id = -1;
    float score = 0;
    ptrdiff_t begin = -1;
  };
  std::vector<Best> best(text.size() + 1);
  const float unknown_score = least_ - kUnknownPenalty;
  const auto offer = [&](size_t begin, size_t end, double score, int32_t id) {
    auto& target = best[end];
    if (target.begin < 0 || score > static_cast<double>(target.score))
      target = {id, static_cast<float>(score), static_cast<ptrdiff_t>(begin)};
  };
  for (size_t begin = 0; begin < text.size();) {
    size_t next = begin;
    next_character(text, next);
    const float so_far = best[begin].score;
    bool has_character = false;
    uint64_t node = 0;
    for (size_t end = begin; end < text.size();) {
      node = trie_.next(node, text[end++]);
      if (node == 0) break;
      const auto id = trie_.id(node);
      if (id < 0 || is_unused(id)) continue;
      const auto& piece = model_.pieces[static_cast<size_t>(id)];
      const double score = piece.type == PieceType::kUserDefined
                               ? static_cast<float>(end - begin) * most_ - 0.1
                               : static_cast<double>(piece.score);
      offer(begin, end, score + static_cast<double>(so_far), id);
      has_character = has_character || end == next;
    }
    if (!has_character) offer(begin, next, static_cast<double>(unknown_score + so_far), unknown_);
    begin = next;
  }
  PieceList pieces;
  for (auto end = static_cast<ptrdiff_t>(text.size()); end > 0;) {
    const auto& node = best[static_cast<size_t>(end)];
    pieces.emplace_back(
        text.substr(static_cast<size_t>(node.begin), static_cast<size_t>(end - node.begin)),
        node.id);
    end = node.begin;
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

}  // namespace

std::unique_ptr<Tokenizer> read_sentencepiece(const std::string& bytes, const std::string& source) {
  return std::make_unique<SentencePieceTokenizer>(bytes, source);
}

}  // namespace uvic::data
