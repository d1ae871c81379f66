#include "app/watch/request_head.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>

namespace uvic::app {
namespace {

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

/// Printable ASCII without spaces.
bool is_visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > 32 && c < 127; });
}

bool has_control_character(std::string_view text) {
  return std::any_of(
      text.begin(), text.end(), [](unsigned char c) { return (c < 32 && c != '\t') || c == 127; });
}

std::string_view without_space(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (auto& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

/// The next line, without its CR LF; false where there is none.
bool take_line(std::string_view& text, std::string_view& line) {
  const auto end = text.find("\r\n");
  if (end == std::string_view::npos) return false;
  line = text.substr(0, end);
  text.remove_prefix(end + 2);
  return true;
}

int read_request_line(std::string_view line, const HeadLimits& limits, RequestHead& request) {
  const auto first = line.find(' '), second = line.rfind(' ');
  if (first == std::string_view::npos || first == second) return 400;
  const auto method = line.substr(0, first), target = line.substr(first + 1, second - first - 1),
             version = line.substr(second + 1);
  if (!is_token(method) || target.empty() || target[0] != '/' || !is_visible(target)) return 400;
  if (version.substr(0, 5) != "HTTP/") return 400;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return 505;
  if (target.size() > limits.target_bytes) return 414;
  if (method != "GET" && method != "HEAD" && method != "POST") return 405;
  request.method = method;
  request.target = target;
  return 0;
}

/// A Content-Length of digits alone.
int read_length(const std::string& value, const HeadLimits& limits, RequestHead& request) {
  const auto* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, request.body_bytes);
  if (value.empty() || stop != end) return 400;
  return error != std::errc() || request.body_bytes > limits.body_bytes ? 413 : 0;
}

int read_header(const std::string& name,
                const std::string& value,
                const HeadLimits& limits,
                RequestHead& request) {
  if (name == "transfer-encoding") return 411;
  if (name == "content-length") return read_length(value, limits, request);
  if (name == "host") request.host = value;
  if (name == "origin") request.origin = value;
  if (name == "sec-fetch-site") request.fetch_site = value;
  if (name == "last-event-id") request.last_event_id = value;
  return 0;
}

}  // namespace

int read_request_head(std::string_view head, const HeadLimits& limits, RequestHead& request) {
  if (head.size() > limits.bytes) return 431;
  std::string_view line;
  if (!take_line(head, line)) return 400;
  if (const int refusal = read_request_line(line, limits, request)) return refusal;
  std::set<std::string> once;  // of those that are read: a second one would be ambiguous
  for (size_t count = 0; take_line(head, line) && !line.empty(); ++count) {
    if (count >= limits.headers) return 431;
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon)) ||
        has_control_character(line))
      return 400;
    const auto name = lower(line.substr(0, colon));
    const std::string value(without_space(line.substr(colon + 1)));
    const bool is_read = name == "host" || name == "content-length" || name == "origin" ||
                         name == "sec-fetch-site" || name == "last-event-id";
    if (is_read && (!once.insert(name).second || !is_visible(value))) return 400;
    if (const int refusal = read_header(name, value, limits, request)) return refusal;
  }
  if (!line.empty() || !head.empty()) return 400;  // no empty line at its end
  return request.host.empty() ? 400 : 0;
}

}  // namespace uvic::app
