#include "app/watch/access.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>

namespace uvic::app {
namespace {

bool is_numeric_address(const std::string& text) {
  unsigned char bytes[sizeof(in6_addr)];
  return inet_pton(AF_INET, text.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

/// The name in "name:port", "name", "[address]:port" or "[address]"; empty where it is none.
std::string_view without_port(std::string_view host) {
  const bool is_bracketed = !host.empty() && host[0] == '[';
  const auto end = is_bracketed ? host.find(']') : host.find(':');
  if (is_bracketed && end == std::string_view::npos) return {};
  const auto name = is_bracketed ? host.substr(1, end - 1) : host.substr(0, end);
  auto rest = end == std::string_view::npos ? "" : host.substr(is_bracketed ? end + 1 : end);
  if (rest.empty()) return name;
  rest.remove_prefix(1);
  const bool is_port =
      host[host.size() - rest.size() - 1] == ':' && !rest.empty() &&
      std::all_of(rest.begin(), rest.end(), [](unsigned char c) { return std::isdigit(c); });
  return is_port ? name : std::string_view();
}

}  // namespace

bool same_secret(std::string_view secret, std::string_view given) {
  unsigned difference = secret.size() == given.size() && !secret.empty() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    const char expected = secret.empty() ? '\0' : secret[i % secret.size()];
    difference |= static_cast<unsigned char>(expected) ^ static_cast<unsigned char>(given[i]);
  }
  return difference == 0;
}

bool is_own_host(std::string_view host, const std::vector<std::string>& names) {
  const std::string name(without_port(host));
  if (name.empty()) return false;
  return is_numeric_address(name) || same_name(name, "localhost") ||
         std::any_of(
             names.begin(), names.end(), [&](const auto& own) { return same_name(name, own); });
}

std::string_view authority_of(std::string_view origin) {
  constexpr std::string_view kScheme = "http://";
  return origin.substr(0, kScheme.size()) == kScheme ? origin.substr(kScheme.size())
                                                     : std::string_view();
}

bool is_loopback_name(const std::string& host) {
  in_addr address = {};
  if (inet_pton(AF_INET, host.c_str(), &address) == 1) return (ntohl(address.s_addr) >> 24) == 127;
  return host == "::1" || same_name(host, "localhost");
}

}  // namespace uvic::app
