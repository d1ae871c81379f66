#include "app/watch/request_head.h"

#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(request_head, ".http") {
  using namespace uvic::app;
  RequestHead head;
  const HeadLimits limits;
  if (read_request_head(bytes.substr(0, bytes.rfind("\r\n\r\n") + 4), limits, head) != 0)
    throw std::runtime_error("refused");
  const bool is_sound = !head.host.empty() && head.target[0] == '/' &&
                        head.target.find_first_of("\r\n ") == std::string::npos &&
                        head.host.find_first_of("\r\n ") == std::string::npos &&
                        head.body_bytes <= limits.body_bytes;
  if (!is_sound) throw std::logic_error("a request that may not pass");
}
