#include "app/commands/sample_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <stdexcept>

#include "app/options/json_output.h"
#include "app/runs/network_source.h"
#include "app/runs/sequence_length.h"
#include "app/runs/sequence_tokenizer.h"
#include "app/sampling/seed_list.h"
#include "base/check.h"
#include "base/parallel.h"
#include "base/precision.h"
#include "base/process.h"
#include "base/tensor_text.h"
#include "data/formats/atomic_file.h"
#include "data/formats/make_folder.h"
#include "data/tokens/decode_after.h"
#include "data/tokens/token_source.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

void check(const SampleOptions& options) {
  base::check_fields(options);
  base::require(options.run.empty() != options.weights.empty(),
                "sample: give --run FOLDER or --weights FILE");
  base::require(options.prompt.size() == 1 && options.prompts.empty(),
                "--prompt: give the one text that the network continues");
  for (const auto& [flag, value] : {std::pair("labels", &options.labels),
                                    {"guide", &options.guide},
                                    {"init", &options.init},
                                    {"mask", &options.mask},
                                    {"interpolate", &options.interpolate},
                                    {"invert", &options.invert},
                                    {"preset", &options.preset}})
    base::require(value->empty(), "--{}: for networks of images; this one writes text", flag);
}

/// One text, on the calling thread.
std::vector<int64_t> text_of_seed(model::SequenceNetwork& network,
                                  const std::vector<int64_t>& prompt,
                                  const TextSettings& settings,
                                  uint64_t seed,
                                  int64_t boundary) {
  const torch::NoGradGuard no_grad;
  return generate_tokens(network, prompt, settings, seed, boundary, [](int64_t) {
    if (base::stop_requested()) throw base::StopRequested();
  });
}

/// Writes NAME, unless it holds this text already.
void write_text(const fs::path& path, const std::string& text, bool overwrite) {
  std::error_code ignored;
  if (!overwrite && fs::exists(path, ignored)) {
    if (fs::file_size(path, ignored) == text.size() &&
        formats::read_file(path, text.size()) == text)
      return;
    throw std::runtime_error(fmt::format(
        "{}: holds another text; choose another --out or pass --overwrite", path.string()));
  }
  formats::write_file_atomically(path, text);
}

}  // namespace

void refuse_image_options(const std::vector<std::string>& given) {
  constexpr const char* kRead[] = {"run",
                                   "weights",
                                   "config",
                                   "out",
                                   "seeds",
                                   "prompt",
                                   "prompts",
                                   "tokenizer",
                                   "precision",
                                   "device",
                                   "threads",
                                   "overwrite",
                                   "processes",
                                   "timeout_sec",
                                   "list",
                                   "max_tokens",
                                   "temperature",
                                   "top_k",
                                   "top_p"};
  for (const auto& name : given) {
    const bool is_read = std::any_of(
        std::begin(kRead), std::end(kRead), [&](const char* known) { return name == known; });
    base::require(is_read, "--{}: for networks of images; this one writes text", name);
  }
}

bool run_sample_text(const SampleOptions& options) {
  check(options);
  base::require(options.processes.processes == 1 && base::process_place().size == 1,
                "--processes: one process generates texts; leave the option out");
  base::set_up_process(options.threads);
  base::catch_stop_signals();
  const torch::Device device(base::choose_device(options.device));
  const auto dtype = base::compute_dtype(base::resolve_precision(options.precision, device));
  const auto source =
      open_sample_source(options.run, options.weights, options.config, options.encoders);
  const auto network = model::as_sequence_network(source.network(device, dtype));
  const auto& file = source.training.encoders.tokenizer;
  const auto tokenizer = data::tokenizer_of_source(
      source.training.data, source.training.tokens, network->input().vocabulary, file);
  require_tokenizer_of(network->input(), *tokenizer, file, data_fingerprint_of(source.weights));
  const auto prompt = data::encode_prompt(*tokenizer, options.prompt.front(), "--prompt");

  const auto ids = SeedList::parse(options.seeds.empty() ? "0" : options.seeds);
  if (!options.out.empty()) formats::make_folder(options.out);
  // A text is computed by one thread, alone: its bits depend neither on the others nor on how many
  // threads there are.
  const auto count = static_cast<int64_t>(ids.size());
  const int64_t threads = device.is_cpu() ? at::get_num_threads() : 1;
  auto samples = nlohmann::json::array();
  int64_t longest = 0;
  for (int64_t first = 0; first < count; first += threads) {
    const int64_t now = std::min(threads, count - first);
    const auto seeds = ids.slice(static_cast<uint64_t>(first), static_cast<uint64_t>(first + now));
    std::vector<std::string> texts(static_cast<size_t>(now));
    std::vector<int64_t> lengths(static_cast<size_t>(now));
    try {
      base::side_by_side(now, device.is_cpu() ? std::max<int64_t>(2, threads) : 1, [&](int64_t i) {
        const auto seed = seeds[static_cast<size_t>(i)];
        const auto tokens =
            text_of_seed(*network, prompt, options.text, seed, tokenizer->boundary());
        lengths[static_cast<size_t>(i)] = static_cast<int64_t>(prompt.size() + tokens.size());
        texts[static_cast<size_t>(i)] = data::decode_after(*tokenizer, prompt, tokens);
      });
    } catch (const base::StopRequested&) {
      return false;
    }
    for (int64_t i = 0; i < now; ++i) {
      const auto seed = seeds[static_cast<size_t>(i)];
      const auto& text = texts[static_cast<size_t>(i)];
      samples.push_back({{"seed", seed}, {"text", text}});
      if (options.out.empty())
        fmt::print("{}{}\n", count > 1 ? fmt::format("--- seed {}\n", seed) : "", text);
      else
        write_text(
            fs::path(options.out) / fmt::format("{:06}.txt", seed), text + "\n", options.overwrite);
    }
    longest = std::max(longest, *std::max_element(lengths.begin(), lengths.end()));
  }
  note_length(*network,
              longest,
              "the longest text, with its prompt",
              data::length_in_training(source.training.data, source.training.tokens));
  print_json({{"weights", source.weights.string()}, {"samples", samples}});
  return true;
}

}  // namespace uvic::app
