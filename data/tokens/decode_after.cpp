#include "data/tokens/decode_after.h"

#include <algorithm>
#include <string_view>

namespace uvic::data {
namespace {

constexpr std::string_view kBadCharacter = "\xef\xbf\xbd";

bool ends_inside_a_character(std::string_view text) {
  return text.size() >= kBadCharacter.size() &&
         text.substr(text.size() - kBadCharacter.size()) == kBadCharacter;
}

/// The bytes of the characters that both begin with.
size_t common_bytes(std::string_view a, std::string_view b) {
  const auto most = std::min(a.size(), b.size());
  size_t count = 0;
  while (count < most && a[count] == b[count]) ++count;
  const auto is_inside = [](std::string_view text, size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
  };
  while (count > 0 && (is_inside(a, count) || is_inside(b, count))) --count;
  return count;
}

}  // namespace

std::string decode_after(const Tokenizer& tokenizer,
                         const std::vector<int64_t>& before,
                         const std::vector<int64_t>& tokens) {
  if (before.empty() || tokenizer.fingerprint().empty()) return tokenizer.decode(tokens);
  auto both = before;
  both.insert(both.end(), tokens.begin(), tokens.end());
  const auto first = tokenizer.decode(before), whole = tokenizer.decode(both);
  const auto common = common_bytes(first, whole);
  if (common == first.size() || ends_inside_a_character(first)) return whole.substr(common);
  return tokenizer.decode(tokens);
}

}  // namespace uvic::data
