#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokens/regex.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

namespace uvic::data {
namespace {

// White_Space of Unicode. PCRE2's own \s also takes U+180E, which has not been one since 2013.
constexpr const char* kSpaces =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"
    "\\x{205f}\\x{3000}";

[[noreturn]] void refuse(const std::string& pattern,
                         const std::string& part,
                         const std::string& source) {
  throw std::runtime_error(fmt::format(
      "{}: the pattern {} is not understood: {} means something else here", source, pattern, part));
}

/// A count such as {2,3} or {,3} at `at`, with a sign after it, where the two syntaxes differ:
/// {2,3}+ is possessive in PCRE2 alone, {2}? is optional in Oniguruma alone, {,3} a count in
/// Oniguruma alone. Else "".
std::string differing_count(const std::string& pattern, size_t at) {
  const auto end = pattern.find('}', at);
  if (pattern[at] != '{' || end == std::string::npos) return "";
  const auto numbers = pattern.substr(at + 1, end - at - 1);
  const auto comma = numbers.find(',');
  const auto other_than_digit = numbers.find_first_not_of("0123456789");
  const bool is_count = other_than_digit == comma && numbers.size() > (comma == 0 ? 1 : 0) &&
                        (comma == std::string::npos ||
                         numbers.find_first_not_of("0123456789", comma + 1) == std::string::npos);
  if (!is_count) return "";
  const char sign = end + 1 < pattern.size() ? pattern[end + 1] : '\0';
  if (sign == '+' || (sign == '?' && comma == std::string::npos))
    return fmt::format("{{{}}}{}", numbers, sign);
  return comma == 0 ? fmt::format("{{{}}}", numbers) : "";
}

/// The pattern with \s spelled out. "\S" inside a class stays PCRE2's. Refuses what the two
/// syntaxes read differently: words, \h, intersections of classes, flags but (?i), some counts.
std::string with_spaces(const std::string& pattern, const std::string& source) {
  std::string result;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (std::string_view("wWbBhHRXKGO").find(next) != std::string_view::npos)
        refuse(pattern, fmt::format("\\{}", next), source);
      if (next == 's')
        result += in_class ? kSpaces : fmt::format("[{}]", kSpaces);
      else if (next == 'S' && !in_class)
        result += fmt::format("[^{}]", kSpaces);
      else
        (result += c) += next;
      // The braces of \p{Lu} and \x{20} hold no count.
      if (std::string_view("pPx").find(next) != std::string_view::npos && i + 1 < pattern.size() &&
          pattern[i + 1] == '{') {
        const auto end = std::min(pattern.find('}', i), pattern.size() - 1);
        result += pattern.substr(i + 1, end - i);
        i = end;
      }
      continue;
    }
    if (in_class && (c == '[' || pattern.compare(i, 2, "&&") == 0))
      refuse(pattern, "a class inside a class", source);
    if (const auto count = in_class ? "" : differing_count(pattern, i); !count.empty())
      refuse(pattern, count, source);
    if (!in_class && pattern.compare(i, 2, "(?") == 0) {
      const auto flags_end = pattern.find_first_of(":)", i);
      const auto flags = pattern.substr(i + 2, flags_end - i - 2);
      if (!flags.empty() && flags != "i" && flags.find_first_of("=!<>") != 0)
        refuse(pattern, "(?" + flags, source);
    }
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    result += c;
  }
  return result;
}

std::string pcre2_message(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

using MatchData = std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)>;

}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;
  std::string pattern, source;
  ~Code() { pcre2_code_free(code); }
};

Regex::Regex(const std::string& pattern, const std::string& source)
    : code_(std::make_unique<Code>()) {
  const auto full = with_spaces(pattern, source);
  int error = 0;
  size_t at = 0;
  code_->pattern = pattern, code_->source = source;
  code_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(full.data()),
                              full.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                              &error,
                              &at,
                              nullptr);
  if (!code_->code)
    throw std::runtime_error(fmt::format(
        "{}: the pattern {} is not understood: {}", source, pattern, pcre2_message(error)));
  pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);  // without it matching is slower, not other
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::vector<TextRange> Regex::find_all(std::string_view text) const {
  const MatchData data(pcre2_match_data_create_from_pattern(code_->code, nullptr),
                       pcre2_match_data_free);
  const auto match = [&](size_t at, uint32_t options) {
    const auto* bytes = reinterpret_cast<PCRE2_SPTR>(text.data());
    options |= PCRE2_NO_UTF_CHECK;
    const auto call = [&](uint32_t all) {
      return pcre2_match(code_->code, bytes, text.size(), at, all, data.get(), nullptr);
    };
    const int found = call(options);
    return found == PCRE2_ERROR_JIT_STACKLIMIT ? call(options | PCRE2_NO_JIT) : found;
  };
  std::vector<TextRange> ranges;
  size_t at = 0;
  while (at <= text.size()) {
    const int found = match(at, 0);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0)
      throw std::runtime_error(fmt::format("{}: the pattern {} gives up at byte {} of a text: {}",
                                           code_->source,
                                           code_->pattern,
                                           at,
                                           pcre2_message(found)));
    const auto* ends = pcre2_get_ovector_pointer(data.get());
    const TextRange range{ends[0], ends[1]};
    const bool repeats =
        range.begin == range.end && !ranges.empty() && range.begin == ranges.back().end;
    if (!repeats && range.begin <= range.end) ranges.push_back(range);
    at = range.end;
    if (range.begin < range.end) continue;
    ++at;  // an empty match: on by one character
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
  }
  return ranges;
}

}  // namespace uvic::data
