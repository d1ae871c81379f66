#include "base/text_format.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>

namespace uvic::base {

std::string significant(double value, int digits) {
  if (!std::isfinite(value)) return std::isnan(value) ? "not a number" : value > 0 ? "∞" : "−∞";
  if (value == 0) return "0";
  const int exponent = static_cast<int>(std::floor(std::log10(std::abs(value))));
  if (exponent >= 6 || exponent < -5) return fmt::format("{:.{}g}", value, digits);
  auto text = fmt::format("{:.{}f}", value, std::max(0, digits - 1 - exponent));
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text;
}

std::string with_error(double value, double error) {
  if (!(error > 0) || !std::isfinite(error)) return significant(value);
  const int exponent = static_cast<int>(std::floor(std::log10(error)));
  const int decimals = std::max(0, 1 - exponent);  // two digits of the error
  return fmt::format("{:.{}f} ± {:.{}f}", value, decimals, error, decimals);
}

std::string si_number(double value, int digits) {
  constexpr const char* kSuffix[] = {"", " k", " M", " G", " T", " P"};
  size_t suffix = 0;
  while (std::abs(value) >= 999.5 && suffix + 1 < std::size(kSuffix)) value /= 1000, ++suffix;
  return significant(value, digits) + kSuffix[suffix];
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds)) return "unknown";
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  if (whole < 48 * 3600) return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
  return fmt::format("{} d {:02} h", whole / 86400, whole / 3600 % 24);
}

std::string cut_to(std::string_view text, size_t most) {
  if (text.size() <= most) return std::string(text);
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80) --most;
  return std::string(text.substr(0, most)) + "...";
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : text) switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  return escaped;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace uvic::base
