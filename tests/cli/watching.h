// A uvic watch that runs next to a test.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/http_client.h"

namespace uvic::test {

/// At a free port; what its address is.
class Watching {
 public:
  explicit Watching(std::vector<std::string> words) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    words.insert(words.begin(), "watch");
    words.insert(words.end(), {"--port", "0", "--interval_sec", "0.1", "--quiet"});
    program_ = std::make_unique<Running>(words, ends[1]);
    close(ends[1]);
    for (char c = 0; read(ends[0], &c, 1) == 1 && c != '\n';) url += c;
    close(ends[0]);
    REQUIRE_THAT(url, Catch::Matchers::StartsWith("http://"));
    port = std::stoll(url.substr(url.rfind(':') + 1));
  }

  nlohmann::json ask(const std::string& target) const {
    const auto response = http_get(port, target);
    INFO(target);
    REQUIRE(response.status == 200);
    return nlohmann::json::parse(response.body);
  }
  RawResponse post(const std::string& target, const std::string& body) const {
    return http_exchange(port,
                         "POST " + target + " HTTP/1.1\r\nHost: localhost:" + std::to_string(port) +
                             "\r\nOrigin: http://localhost:" + std::to_string(port) +
                             "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                             body);
  }
  Running& program() { return *program_; }

  std::string url;
  int64_t port = 0;

 private:
  std::unique_ptr<Running> program_;
};

/// Whether `holds` became true within a minute.
inline bool waited_for(const std::function<bool()>& holds) {
  for (int i = 0; i < 1200; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return false;
}

/// What browse.py prints for a script of tests/cli in the page.
inline nlohmann::json browsed(const Watching& watch,
                              const std::string& script,
                              const std::string& more) {
  const std::string folder = UVIC_TESTS_DIR "/cli/";
  const auto outcome = run_script("python3 " + uvic::test::quoted(folder + "browse.py") + " " +
                                  uvic::test::quoted(watch.url) + " --script " +
                                  uvic::test::quoted(folder + script) + " " + more);
  INFO(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  return nlohmann::json::parse(outcome.out);
}

}  // namespace uvic::test
