#include "data/bpe_pieces.h"

#include <cstddef>

#include "data/unicode_text.h"

namespace uvic::data {
namespace {

// Its only case variant of another class is a letter, so that regex's negated class lacks it.
constexpr char32_t kYpogegrammeni = 0x345;
constexpr char32_t kLongS = 0x17f;

char32_t fold(char32_t c) {
  if (c >= 'A' && c <= 'Z') return c - 'A' + 'a';
  return c == kLongS ? U's' : c;
}

class Pieces {
 public:
  Pieces(std::u32string_view text, bool official_python)
      : text_(text), official_python_(official_python) {}

  void run(const std::function<void(std::u32string_view)>& take) const {
    for (size_t at = 0; at < text_.size();) {
      const size_t length = length_at(at);
      if (length > 0) take(text_.substr(at, length));
      at += length > 0 ? length : 1;
    }
  }

 private:
  /// The length of the match that begins here; 0: none does.
  size_t length_at(size_t at) const {
    if (official_python_)
      for (const std::u32string_view token : {U"<|startoftext|>", U"<|endoftext|>"})
        if (begins(at, token)) return token.size();
    for (const std::u32string_view token : {U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"})
      if (begins(at, token)) return token.size();
    if (is_number(text_[at])) return 1;
    size_t end = at;
    if (is_letter(text_[at])) {
      while (end < text_.size() && is_letter(text_[end])) ++end;
    } else {
      while (end < text_.size() && is_other(text_[end])) ++end;
    }
    return end - at;
  }

  bool is_other(char32_t c) const {
    if (official_python_ && c == kYpogegrammeni) return false;
    return !is_letter(c) && !is_number(c) && !is_space(c);
  }

  bool begins(size_t at, std::u32string_view token) const {
    if (text_.size() - at < token.size()) return false;
    for (size_t i = 0; i < token.size(); ++i) {
      const char32_t c = text_[at + i];
      if ((official_python_ ? fold(c) : c) != token[i]) return false;
    }
    return true;
  }

  std::u32string_view text_;
  bool official_python_;
};

}  // namespace

void for_each_piece(std::u32string_view text,
                    bool official_python,
                    const std::function<void(std::u32string_view)>& take) {
  Pieces(text, official_python).run(take);
}

}  // namespace uvic::data
