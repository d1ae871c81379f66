#include "model/small_sequence/small_sequence_config.h"

#include <fmt/format.h>

#include "base/check.h"
#include "model/attention/attention.h"
#include "model/network_config.h"

namespace uvic::model {
namespace {

/// Embedding, norm and head.
int64_t ends(const SmallSequenceConfig& c) {
  return 2 * c.vocab_size * c.hidden_size + c.hidden_size;
}
double of_head(const SmallSequenceConfig& c) {
  return 2.0 * static_cast<double>(c.length * c.hidden_size * c.vocab_size);
}

void check_fields_of(const SmallSequenceConfig& c) { base::check_fields(c, "model.small."); }

void validate_cisformer(const SmallSequenceConfig& c) {
  check_fields_of(c);
  base::require(c.hidden_size % c.num_heads == 0,
                "model.small: hidden_size {} is not a multiple of num_heads {}; change one of them",
                c.hidden_size,
                c.num_heads);
  base::require(c.hidden_size / c.num_heads % attention_kind(c.attention).score_parts == 0,
                "model.small: heads are {} wide, {} needs a multiple of {}",
                c.hidden_size / c.num_heads,
                c.attention,
                attention_kind(c.attention).score_parts);
}

int64_t count_lstm(const SmallSequenceConfig& c) {
  return ends(c) + c.num_layers * (8 * c.hidden_size * c.hidden_size + 8 * c.hidden_size);
}
double flops_lstm(const SmallSequenceConfig& c) {
  return of_head(c) +
         16.0 * static_cast<double>(c.length * c.num_layers * c.hidden_size * c.hidden_size);
}
double kept_lstm(const SmallSequenceConfig& c) {
  return static_cast<double>(c.length * c.num_layers * 12 * c.hidden_size);
}

int64_t count_mlp(const SmallSequenceConfig& c) {
  const int64_t d = c.hidden_size;
  return ends(c) + c.window * d * d + d + (c.num_layers - 1) * (d * d + d);
}
double flops_mlp(const SmallSequenceConfig& c) {
  const int64_t d = c.hidden_size;
  return of_head(c) + 2.0 * static_cast<double>(c.length * d * d * (c.window + c.num_layers - 1));
}
double kept_mlp(const SmallSequenceConfig& c) {
  return static_cast<double>(c.length * c.hidden_size * (c.window + 3 * c.num_layers));
}

int64_t count_cisformer(const SmallSequenceConfig& c) {
  const int64_t d = c.hidden_size;
  const auto& kind = attention_kind(c.attention);
  const int64_t projections = c.length * d * d * (kind.uses_scores ? 4 : 2);
  return ends(c) +
         c.num_layers * (projections + 3 * d * c.intermediate_size + 2 * d +
                         own_parameters(kind, d, {c.num_heads, d / c.num_heads, c.length}));
}
double flops_cisformer(const SmallSequenceConfig& c) {
  const int64_t d = c.hidden_size;
  return of_head(c) +
         2.0 * static_cast<double>(c.length * c.num_layers *
                                   (4 * d * d + 3 * d * c.intermediate_size + c.length * d));
}
double kept_cisformer(const SmallSequenceConfig& c) {
  return static_cast<double>(
      c.length * c.num_layers *
      (12 * c.hidden_size + 4 * c.intermediate_size + 3 * c.num_heads * c.length));
}

std::string text_of(SmallSequenceConfig config) {
  std::string text;
  for (const auto& leaf : base::leaves_of(config))
    text += fmt::format("{} = {}\n", leaf.name, leaf.text());
  return text;
}

}  // namespace

const SmallArchitecture kLstm{check_fields_of, count_lstm, flops_lstm, kept_lstm},
    kTokenMlp{check_fields_of, count_mlp, flops_mlp, kept_mlp},
    kCisformer{validate_cisformer, count_cisformer, flops_cisformer, kept_cisformer};

NetworkInput input_of(const SmallSequenceConfig& c) {
  NetworkInput input;
  input.channels = input.size = 0;
  input.vocabulary = c.vocab_size;
  input.length = c.length;
  return input;
}

ActivationBytes activation_bytes(const SmallArchitecture& architecture,
                                 const SmallSequenceConfig& config,
                                 const ActivationSettings&) {
  constexpr double kFloat = 4;
  const double head = 3 * kFloat * static_cast<double>(config.length * config.vocab_size);
  return {kFloat * architecture.kept_floats(config) + head, head};
}

bool same_small_sequence(const SmallSequenceConfig& a, const SmallSequenceConfig& b) {
  return text_of(a) == text_of(b);
}

}  // namespace uvic::model

template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::model::SmallSequenceConfig&);
