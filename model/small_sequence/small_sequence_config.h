// The options of the small networks that transformers are compared with: LSTM, MLP and cisformer.
#pragma once

#include <cstdint>
#include <string>

#include "base/field.h"
#include "model/attention_choices.h"

namespace uvic::model {

struct ActivationBytes;
struct ActivationSettings;
struct NetworkInput;

struct SmallSequenceConfig {
  int64_t vocab_size = 20;
  int64_t hidden_size = 64;
  int64_t num_layers = 2;
  int64_t length = 128;
  int64_t window = 16;
  int64_t intermediate_size = 128;
  int64_t num_heads = 2;
  std::string attention = "extensive";

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("vocab_size", vocab_size, Field{"Tokens of the vocabulary", base::from(1, 1 << 24)});
    visit("hidden_size", hidden_size, Field{"Width", base::from(1, 1 << 16)});
    visit("num_layers", num_layers, Field{"Layers", base::from(1, 1024)});
    visit("length", length, Field{"The longest sequence, tokens", base::from(1, 1 << 20)});
    visit("window",
          window,
          Field{"The last tokens that it sees", base::from(1, 1 << 16)}.read_by("mlp"));
    visit("intermediate_size",
          intermediate_size,
          Field{"Hidden width of the SwiGLU", base::from(1, 1 << 20)}.read_by("cisformer"));
    visit("num_heads",
          num_heads,
          Field{"Attention heads", base::from(1, 1 << 16)}.read_by("cisformer"));
    visit("attention",
          attention,
          Field{"Attention kind of every layer", attention_choices()}.read_by("cisformer"));
  }
};

/// One architecture: what the table of networks asks of it.
struct SmallArchitecture {
  void (*validate)(const SmallSequenceConfig&);
  int64_t (*parameter_count)(const SmallSequenceConfig&);
  double (*forward_flops)(const SmallSequenceConfig&);
  double (*kept_floats)(const SmallSequenceConfig&);  ///< a sequence keeps for the backward pass
};
extern const SmallArchitecture kLstm, kTokenMlp, kCisformer;

NetworkInput input_of(const SmallSequenceConfig& config);
ActivationBytes activation_bytes(const SmallArchitecture& architecture,
                                 const SmallSequenceConfig& config,
                                 const ActivationSettings& settings);
bool same_small_sequence(const SmallSequenceConfig& a, const SmallSequenceConfig& b);

}  // namespace uvic::model

extern template std::vector<uvic::base::Leaf> uvic::base::leaves_of(
    uvic::model::SmallSequenceConfig&);
