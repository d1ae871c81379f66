#include "app/training/token_snapshots.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/sampling/generate_text.h"
#include "app/scoring/score_tokens.h"
#include "app/training/run_metadata.h"
#include "base/process.h"
#include "data/formats/atomic_file.h"
#include "data/tokens/decode_after.h"
#include "data/tokens/token_loader.h"

namespace uvic::app {

TokenSnapshots::TokenSnapshots(const RunConfig& config,
                               const data::TokenSource& source,
                               const TrainState& state,
                               const RunDir& run,
                               const RunIdentity& identity)
    : Snapshots(state, run, run_metadata(config, source, identity), config.keep_states),
      config_(config) {
  if (config.score_images == 0 && config.grid_images == 0) return;
  const auto input = config.model.input();
  const auto reference = config.score_ref.empty() ? config.data : config.score_ref;
  held_out_ = data::open_token_source(
      reference,
      config.tokens,
      {config.score_ref.empty() ? data::TokenSplit::kHeldOut : data::TokenSplit::kAll,
       input.length,
       input.vocabulary,
       config.encoders.tokenizer});
  check_token_source(
      input, *held_out_, {reference, config.encoders.tokenizer}, /*allow_longer=*/false);
}

void TokenSnapshots::sample_grid() const {
  constexpr int64_t kMost = 8;
  const auto network = model::as_sequence_network(state_.ema);
  const int64_t count = std::min(kMost, config_.grid_count), half = held_out_->length() / 2;
  const auto examples =
      data::read_sequences(*held_out_, static_cast<uint64_t>(config_.seed), 0, count);
  const auto tokenizer = held_out_->tokenizer();
  TextSettings settings;
  settings.temperature = 0;
  settings.max_tokens = held_out_->length() - half;
  std::string text;
  for (int64_t i = 0; i < count; ++i) {
    const auto row = examples.sequences[i];
    const auto tokens_of = [&](int64_t begin, int64_t end) {
      const auto part = row.slice(0, begin, end).contiguous();
      return std::vector<int64_t>(part.data_ptr<int64_t>(),
                                  part.data_ptr<int64_t>() + part.numel());
    };
    const auto prompt = tokens_of(0, half);
    const auto continued = generate_tokens(*network, prompt, settings, 0, tokenizer->boundary());
    text += fmt::format("prompt: {}\nnetwork: {}\ndata: {}\n\n",
                        tokenizer->decode(prompt),
                        data::decode_after(*tokenizer, prompt, continued),
                        data::decode_after(*tokenizer, prompt, tokens_of(half, row.numel())));
  }
  const auto file = run_.grid(state_.images_seen).replace_extension(".txt");
  formats::write_file_atomically(file, text);
  run_.announce_grid(file, state_.images_seen);
}

void TokenSnapshots::score() const {
  const auto network = model::as_sequence_network(state_.ema);
  int64_t count = config_.score_count;
  if (held_out_->size() > 0) count = std::min(count, held_out_->size());
  const auto score = score_tokens(
      *network, *held_out_, static_cast<uint64_t>(config_.seed), count, config_.batch_size);
  run_.log(fmt::format("{:>9} of {} sequences  held-out loss {:.4f}, accuracy {:.2f} %",
                       state_.images_seen,
                       config_.total_images,
                       score.all.loss.mean,
                       100 * score.all.accuracy.mean));
  auto line = score.json();
  line["images_seen"] = state_.images_seen;
  line["elapsed_sec"] = state_.elapsed_sec;
  line["held_out_loss"] = line["loss"];
  line["held_out_accuracy"] = line["accuracy"];
  line.erase("loss");  // the key of training's own lines
  line.erase("accuracy");
  run_.append_stats(line);
}

}  // namespace uvic::app
