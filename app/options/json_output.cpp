#include "app/options/json_output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>

#include "data/formats/json.h"

namespace uvic::app {
namespace {

int json_descriptor = -1;  // what standard output was; -1: no --json

void send_text_to_stderr() {
  std::fflush(stdout);
  json_descriptor = dup(STDOUT_FILENO);
  if (json_descriptor < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
    throw std::runtime_error(std::string("--json: ") + std::strerror(errno));
}

}  // namespace

void add_json_flag(CLI::App& app) {
  app.add_flag_callback(
         "--json", send_text_to_stderr, "Print the result as one JSON object; text goes to stderr")
      ->configurable(false);
}

void give_standard_output_back() {
  if (!json_is_asked()) return;
  std::fflush(stdout);
  if (dup2(json_descriptor, STDOUT_FILENO) < 0)
    throw std::runtime_error(std::string("--json: ") + std::strerror(errno));
}

bool json_is_asked() { return json_descriptor >= 0; }

void print_json(const nlohmann::json& result) {
  if (!json_is_asked()) return;
  const auto text = formats::format_json(result);
  for (size_t at = 0; at < text.size();) {
    const auto written = write(json_descriptor, text.data() + at, text.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0)
      throw std::runtime_error(std::string("standard output: can't write: ") +
                               std::strerror(errno));
    at += static_cast<size_t>(written);
  }
}

}  // namespace uvic::app
