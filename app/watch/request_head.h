// The head of an HTTP request from a stranger: checked before anything else reads it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace uvic::app {

struct HeadLimits {
  size_t bytes = 16 << 10;
  size_t headers = 64;
  size_t target_bytes = 2048;
  size_t body_bytes = 64 << 10;
};

/// What is taken of a request; all else of it is dropped.
struct RequestHead {
  std::string method, target, host, origin, fetch_site, last_event_id;
  size_t body_bytes = 0;  ///< Content-Length
};

/// Reads request line and headers, up to and with the empty line, by RFC 9112's grammar without its
/// old forms. Returns 0, or the status of the refusal:
///
///   400  no request line, no "name: value", a control character, none or several Host, a target
///        that begins with no "/", a Content-Length that is no number
///   405  a method other than GET, HEAD and POST
///   411  a body of unknown length (Transfer-Encoding)
///   413  a body beyond the limit
///   414  a target beyond the limit
///   431  too many headers, or too long
///   505  neither HTTP/1.0 nor HTTP/1.1
int read_request_head(std::string_view head, const HeadLimits& limits, RequestHead& request);

}  // namespace uvic::app
