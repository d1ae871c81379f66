#include "app/lab/sequence_feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "app/scoring/score_tokens.h"
#include "base/check.h"
#include "base/list_text.h"
#include "data/tokens/decode_after.h"
#include "data/tokens/token_loader.h"

namespace uvic::app {
namespace {

/// "7" or "0-15": the range in `item`; false where it is none.
bool read_range(const std::string& item, PositionRange& range) {
  constexpr size_t kMostDigits = 9;
  const auto dash = item.find('-');
  const auto number = [](const std::string& text, int64_t& value) {
    if (text.empty() || text.size() > kMostDigits ||
        text.find_first_not_of("0123456789") != std::string::npos)
      return false;
    value = std::stoll(text);
    return true;
  };
  const auto last = dash == std::string::npos ? item : item.substr(dash + 1);
  if (!number(item.substr(0, dash), range.begin) || !number(last, range.end)) return false;
  ++range.end;
  return range.begin < range.end;
}

}  // namespace

std::unique_ptr<data::TokenSource> open_lab_sequences(const RunConfig& training,
                                                      const std::string& data,
                                                      int64_t length,
                                                      const std::string& trained_on) {
  const auto input = training.model.input();
  const auto name = data.empty() ? training.data : data;
  base::require(!name.empty(),
                "--data is missing; these weights do not say what they were trained on");
  auto tokens = training.tokens;
  if (length > 0) tokens.length = length;
  const auto split = data.empty() ? data::TokenSplit::kHeldOut : data::TokenSplit::kAll;
  // A task has tokens of its own, and a network of text may be looked at with one.
  const auto tokenizer =
      data::sequence_tasks().find(name) ? std::string() : training.encoders.tokenizer;
  auto source =
      data::open_token_source(name, tokens, {split, input.length, input.vocabulary, tokenizer});
  check_token_source(input, *source, {name, tokenizer, trained_on}, /*allow_longer=*/false);
  return source;
}

std::vector<PositionRange> parse_positions(const std::string& text, int64_t length) {
  constexpr int64_t kQuarters = 4;
  if (text == "all") return {{0, length}};
  std::vector<PositionRange> ranges;
  if (text == "quarters") {
    for (int64_t i = 0; i < kQuarters; ++i)
      if (const PositionRange range{length * i / kQuarters, length * (i + 1) / kQuarters};
          range.begin < range.end)
        ranges.push_back(range);
    return ranges;
  }
  for (const auto& item : base::list_items(text)) {
    PositionRange range;
    base::require(read_range(item, range),
                  "--positions {}: give quarters, all, or ranges such as 0-15,16-63",
                  text);
    base::require(range.end <= length,
                  "--positions {}: {} does not exist; the last position is {}",
                  text,
                  range.end - 1,
                  length - 1);
    ranges.push_back(range);
  }
  base::require(!ranges.empty(), "--positions: give quarters, all, or ranges such as 0-15,16-63");
  return ranges;
}

SequenceFeed::SequenceFeed(const data::TokenSource& source,
                           uint64_t seed,
                           torch::Device device,
                           std::vector<PositionRange> ranges)
    : source_(source), seed_(seed), device_(device), places_{{}, std::move(ranges)} {}

void SequenceFeed::read(int64_t count) {
  const auto batch = data::read_sequences(source_, seed_, next_, count);
  next_ += count;
  sequences_ = batch.sequences.to(device_);
  targets_ = batch.targets.to(device_);
}

LabPass SequenceFeed::pass(size_t /*number*/) const {
  LabPass pass{sequences_, {}, {}, {}};
  for (size_t i = 0; i < places_.size(); ++i) pass.places.push_back(i);
  return pass;
}

torch::Tensor SequenceFeed::losses(const torch::Tensor& prediction, size_t place) const {
  const auto [begin, end] = places_.ranges.at(place);
  const auto logits = prediction.slice(1, begin, end);
  const auto wide = logits.scalar_type() == torch::kFloat64 ? logits : logits.to(torch::kFloat32);
  const auto targets = targets_.slice(1, begin, end);
  const auto counted = targets >= 0;  // [B, n]
  const auto chosen = wide.gather(2, targets.clamp_min(0).unsqueeze(2)).squeeze(2);
  const auto losses = (wide.logsumexp(2) - chosen).masked_fill(counted.logical_not(), 0);
  // 0 / 0, which is NaN, where nothing counts.
  return losses.to(torch::kCPU, torch::kFloat64).sum(1) /
         counted.sum(1).to(torch::kCPU, torch::kFloat64);
}

void SequenceFeed::illustrate(size_t /*pass*/, int64_t example, AttentionMap& map) const {
  const auto row = sequences_[example].cpu().contiguous();
  const auto* tokens = row.data_ptr<int64_t>();
  map.words = token_texts(*source_.tokenizer(), {tokens, tokens + row.numel()});
}

std::vector<std::string> token_texts(const data::Tokenizer& tokenizer,
                                     const std::vector<int64_t>& tokens) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto token = tokens[i];
    if (token == tokenizer.boundary()) {
      texts.emplace_back("<end>");
      continue;
    }
    const auto before = i > 0 ? std::vector<int64_t>{tokens[i - 1]} : std::vector<int64_t>();
    const auto text = data::decode_after(tokenizer, before, {token});
    const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
    if (data::first_invalid_utf8(bytes, static_cast<int64_t>(text.size())) < 0) {
      texts.push_back(text);
      continue;
    }
    std::string written;
    for (const char byte : text)
      written += fmt::format("\\x{:02X}", static_cast<unsigned>(static_cast<uint8_t>(byte)));
    texts.push_back(written);
  }
  return texts;
}

}  // namespace uvic::app
