#include "app/scoring/score_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "app/runs/sequence_tokenizer.h"
#include "base/check.h"
#include "data/tokens/token_loader.h"

namespace uvic::app {
namespace {

/// Sums of sequences: y over n tokens each, for the error of sum(y) / sum(n).
class Ratio {
 public:
  void add(double y, double n) {
    if (n == 0) return;
    ++count_;
    y_ += y, n_ += n, yy_ += y * y, yn_ += y * n, nn_ += n * n;
  }
  MeanWithError value() const {
    MeanWithError result;
    if (n_ == 0) return {std::numeric_limits<double>::quiet_NaN(), result.mean};
    result.mean = y_ / n_;
    // sum (y - r n)^2: where all sequences are alike, cancellation leaves rounding errors.
    constexpr double kRounding = 1e-12;
    double squares = yy_ - 2 * result.mean * yn_ + result.mean * result.mean * nn_;
    if (squares < kRounding * yy_) squares = 0;
    result.error = count_ < 2 ? std::numeric_limits<double>::quiet_NaN()
                              : std::sqrt(squares * count_ / (count_ - 1)) / n_;
    return result;
  }

 private:
  double count_ = 0, y_ = 0, n_ = 0, yy_ = 0, yn_ = 0, nn_ = 0;
};

class Group {
 public:
  void add(double loss, double right, double tokens) {
    loss_.add(loss, tokens);
    right_.add(right, tokens);
    tokens_ += static_cast<int64_t>(tokens);
  }
  TokenGroupScore score(std::string name) const {
    return {std::move(name), tokens_, loss_.value(), right_.value()};
  }
  int64_t tokens() const { return tokens_; }

 private:
  Ratio loss_, right_;
  int64_t tokens_ = 0;
};

/// What one sequence contributes.
struct Sequence {
  int64_t size;
  double loss, right, tokens;
};

std::vector<TokenGroupScore> by_size(std::vector<Sequence> sequences) {
  constexpr size_t kRanges = 8;
  std::vector<TokenGroupScore> scores;
  std::sort(sequences.begin(), sequences.end(), [](const auto& a, const auto& b) {
    return a.size < b.size;
  });
  if (sequences.empty() || sequences.front().size == sequences.back().size) return scores;
  const int64_t low = sequences.front().size, high = sequences.back().size;
  const int64_t width =
      (high - low + static_cast<int64_t>(kRanges)) / static_cast<int64_t>(kRanges);
  for (int64_t begin = low; begin <= high; begin += width) {
    Group group;
    for (const auto& s : sequences)
      if (s.size >= begin && s.size < begin + width) group.add(s.loss, s.right, s.tokens);
    const auto end = std::min(high, begin + width - 1);
    if (group.tokens() > 0)
      scores.push_back(
          group.score(begin == end ? fmt::format("{}", begin) : fmt::format("{}-{}", begin, end)));
  }
  return scores;
}

/// TokenScore::loss_without and accuracy_without.
void leave_out(const std::vector<Sequence>& sequences, TokenScore& score) {
  constexpr size_t kParts = 20;
  const size_t count = sequences.size(), parts = std::min(kParts, count);
  if (parts < 2) return;
  for (size_t part = 0; part < parts; ++part) {
    double loss = 0, right = 0, tokens = 0;
    for (size_t i = 0; i < count; ++i) {
      if (i * parts / count == part) continue;
      loss += sequences[i].loss, right += sequences[i].right, tokens += sequences[i].tokens;
    }
    if (tokens == 0) {
      score.loss_without.clear();
      score.accuracy_without.clear();
      return;
    }
    score.loss_without.push_back(loss / tokens);
    score.accuracy_without.push_back(right / tokens);
  }
}

nlohmann::json number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

nlohmann::json json_of(const TokenGroupScore& group) {
  return {{"name", group.name},
          {"tokens", group.tokens},
          {"loss", number(group.loss.mean)},
          {"loss_error", number(group.loss.error)},
          {"accuracy", number(group.accuracy.mean)},
          {"accuracy_error", number(group.accuracy.error)}};
}

}  // namespace

double TokenScore::perplexity() const { return std::exp(all.loss.mean); }
double TokenScore::perplexity_error() const { return perplexity() * all.loss.error; }

nlohmann::json TokenScore::json() const {
  auto result = json_of(all);
  result.erase("name");
  result["sequences"] = sequences;
  result["length"] = length;
  result["perplexity"] = number(perplexity());
  result["perplexity_error"] = number(perplexity_error());
  result["whole_sequences"] = number(whole.mean);
  result["whole_sequences_error"] = number(whole.error);
  for (const auto& [key, groups] : {std::pair("parts", &parts), {"sizes", &sizes}}) {
    result[key] = nlohmann::json::array();
    for (const auto& group : *groups) result[key].push_back(json_of(group));
  }
  return result;
}

TokenScore score_tokens(model::SequenceNetwork& network,
                        const data::TokenSource& source,
                        uint64_t seed,
                        int64_t count,
                        int64_t batch,
                        const std::function<void(int64_t)>& progress,
                        int64_t begin) {
  const torch::NoGradGuard no_grad;
  const auto names = source.part_names();
  std::vector<Group> parts(names.size());
  std::vector<Sequence> sequences;
  Group all;
  Ratio whole;
  for (int64_t first = 0; first < count; first += batch) {
    torch::Tensor part, size;
    const auto examples = data::read_sequences(
        source, seed, begin + first, std::min(batch, count - first), &part, &size);
    const auto targets = examples.targets.to(network.device());
    const auto logits = network.forward(examples.sequences.to(network.device()), {}, {});
    const auto wide = logits.to(torch::kFloat32);
    const auto counted = targets >= 0;
    const auto chosen = wide.gather(2, targets.clamp_min(0).unsqueeze(2)).squeeze(2);
    const auto on_cpu = [&](const torch::Tensor& x) {
      return x.to(torch::kFloat64).masked_fill(counted.logical_not(), 0).cpu().contiguous();
    };
    const auto loss = on_cpu(wide.logsumexp(2) - chosen), right = on_cpu(wide.argmax(2) == targets),
               tokens = on_cpu(torch::ones_like(targets));
    for (int64_t i = 0; i < loss.size(0); ++i) {
      Sequence s{size[i].item<int64_t>(),
                 loss[i].sum().item<double>(),
                 right[i].sum().item<double>(),
                 tokens[i].sum().item<double>()};
      sequences.push_back(s);
      all.add(s.loss, s.right, s.tokens);
      whole.add(s.right == s.tokens ? 1 : 0, 1);
      if (parts.size() < 2) continue;
      for (size_t p = 0; p < parts.size(); ++p) {
        const auto mine = (part[i] == static_cast<int64_t>(p)).to(torch::kFloat64);
        parts[p].add((loss[i] * mine).sum().item<double>(),
                     (right[i] * mine).sum().item<double>(),
                     (tokens[i] * mine).sum().item<double>());
      }
    }
    if (progress) progress(std::min(count, first + batch));
  }
  TokenScore score;
  score.sequences = count;
  score.length = source.length();
  score.all = all.score("all");
  score.whole = whole.value();
  for (size_t p = 0; p < parts.size() && parts.size() > 1; ++p)
    score.parts.push_back(parts[p].score(names[p]));
  leave_out(sequences, score);
  score.sizes = by_size(std::move(sequences));
  return score;
}

void check_token_source(const model::NetworkInput& input,
                        const data::TokenSource& source,
                        const TokenSourceOrigin& origin,
                        bool allow_longer) {
  const auto tokenizer = source.tokenizer();
  require_tokenizer_of(input, *tokenizer, origin.tokenizer, origin.trained_on);
  base::require(source.vocabulary() == input.vocabulary || !tokenizer->fingerprint().empty(),
                "{}: {} tokens in its vocabulary, the network has {}; give the data of its own "
                "tokenizer (or, to train, that model.decoder_lm.vocab_size)",
                origin.data,
                source.vocabulary(),
                input.vocabulary);
  base::require(allow_longer || source.length() <= input.length,
                "{}: sequences of {} tokens, the network was trained on up to {} "
                "(max_position_embeddings); give a shorter --length, or --allow_longer",
                origin.data,
                source.length(),
                input.length);
}

}  // namespace uvic::app
