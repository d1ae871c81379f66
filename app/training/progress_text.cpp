#include "app/training/progress_text.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

#include "base/text_format.h"

namespace uvic::app {

namespace {

/// What every line begins with.
std::string place_text(const Progress& progress) {
  return fmt::format("{:>9} of {} {}", progress.seen, progress.total, progress.examples);
}

double images_left(const Progress& progress) {
  return static_cast<double>(progress.total - progress.seen);
}

}  // namespace

std::string first_step_text(const Progress& progress, double seconds, int64_t batch) {
  return fmt::format(
      "{}  first step {:.3f} s, so about {} left",
      place_text(progress),
      seconds,
      base::duration_text(seconds * images_left(progress) / static_cast<double>(batch)));
}

std::string estimate_text(const Progress& progress, double rate) {
  return fmt::format("{}  {:.1f} {}/s, so about {} left, without scores and grids",
                     place_text(progress),
                     rate,
                     progress.examples,
                     base::duration_text(images_left(progress) / rate));
}

std::string progress_text(const Progress& progress, double loss, double rate, double memory_mib) {
  const auto eta = images_left(progress) > 0
                       ? fmt::format("ETA {}  ", base::duration_text(images_left(progress) / rate))
                       : "";
  return fmt::format("{}  loss {:.4f}  {:.1f} {}/s  {}{:.0f} MiB",
                     place_text(progress),
                     loss,
                     rate,
                     progress.examples,
                     eta,
                     memory_mib);
}

std::string processes_text(const GradientExchange& exchange, const StateShares* shares) {
  const auto mib = [](int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  auto text = fmt::format("{} processes; each step sums {:.2f} MiB of gradients{} in {} bucket{}",
                          exchange.processes(),
                          mib(exchange.bytes()),
                          exchange.is_narrow() ? " (bf16)" : "",
                          exchange.buckets(),
                          exchange.buckets() == 1 ? "" : "s");
  if (shares)
    text += fmt::format(
        " and sends {:.2f} MiB of weights; each process keeps the optimizer's state and the "
        "average of at most {:.1f} % of the parameters",
        mib(shares->bytes()),
        std::ceil(1000 * shares->largest_part()) / 10);
  return text;
}

void throw_diverged(const RunDir& run, const std::string& what, int64_t images_seen) {
  std::string kept, sane;
  for (const auto& state : run.states()) {
    kept += fmt::format("{}{}", kept.empty() ? "" : ", ", state.images_seen);
    if (state.is_sane && sane.empty()) sane = fmt::format("{}", state.images_seen);
  }
  const char* cure =
      "with a lower --optimizer.lr, with --optimizer.grad_clip 1 or with "
      "--precision fp32";
  throw std::runtime_error(
      kept.empty()
          ? fmt::format("{}: {} is no longer finite after {} images, before the first "
                        "checkpoint; start again {}",
                        run.path().string(),
                        what,
                        images_seen,
                        cure)
          : fmt::format("{}: {} is no longer finite after {} images; go back by --resume_from "
                        "{}{} (states are kept of {} images) {}",
                        run.path().string(),
                        what,
                        images_seen,
                        sane.empty() ? kept.substr(0, kept.find(',')) : sane,
                        sane.empty() ? "" : ", the last with a normal loss",
                        kept,
                        cure));
}

}  // namespace uvic::app
