#include "app/commands/watch.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/run_identity.h"
#include "app/runs/run_record.h"
#include "app/watch/access.h"
#include "app/watch/http_server.h"
#include "app/watch/run_set.h"
#include "app/watch/sample_desk.h"
#include "app/watch/watch_site.h"
#include "base/check.h"
#include "base/process.h"
#include "base/progress_line.h"

namespace uvic::app {
namespace {

constexpr int kTokenDigits = 32;  // 128 bits

std::vector<std::filesystem::path> roots_of(const WatchOptions& options) {
  std::vector<std::filesystem::path> roots;
  for (const auto& run : options.runs) {
    std::error_code error;
    if (!std::filesystem::is_directory(run, error))
      throw std::runtime_error(run + ": no such folder; give run folders, or a folder of runs");
    roots.emplace_back(run);
  }
  return roots;
}

/// "http://[::1]:8462/?token=..." An address of every interface is no address to go to.
std::string url_of(const WatchOptions& options, int64_t port, const std::string& token) {
  auto host = options.host;
  if (host == "0.0.0.0" || host == "::") host = host_name();
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return fmt::format("http://{}:{}/{}", host, port, token.empty() ? "" : "?token=" + token);
}

}  // namespace

void run_watch(const WatchOptions& options) {
  base::require(!options.host.empty(), "--host: an address, such as 127.0.0.1 or 0.0.0.0");
  RunSet runs(roots_of(options));
  SiteRules rules;
  if (options.token || !is_loopback_name(options.host)) rules.token = random_id(kTokenDigits);
  rules.names = options.names;
  for (const auto& name : {host_name(), options.host}) rules.names.push_back(name);
  std::optional<SampleDesk> desk;
  if (options.sample)
    desk.emplace(runs, SampleDesk::Options{options.device, options.precision, options.threads});
  const WatchSite site(runs, rules, desk ? &*desk : nullptr);
  HttpServer server(
      options.host, options.port, [&](const HttpRequest& request) { return site.answer(request); });
  base::catch_stop_signals();
  runs.start(options.interval_sec);
  server.start();
  const auto url = url_of(options, server.port(), rules.token);
  fmt::print("{}\n", url);
  std::fflush(stdout);
  print_json({{"url", url}, {"port", server.port()}, {"token", rules.token}});
  base::say_progress("Ctrl+C ends it");
  while (base::stop_requested() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  runs.stop();
  server.stop();
}

void add_watch_command(CLI::App& app) {
  auto options = std::make_shared<WatchOptions>();
  auto* command = app.add_subcommand(
      "watch", "A live page of runs while they train: curves, grids, scores, configs, logs");
  command
      ->add_option("RUNS",
                   options->runs,
                   "Run folders, or folders of runs, in which new ones are looked for")
      ->required();
  add_fields(*command, *options);
  command->callback([options] {
    base::check_fields(*options);
    run_watch(*options);
  });
}

}  // namespace uvic::app
