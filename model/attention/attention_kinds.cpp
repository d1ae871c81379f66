#include "model/attention/attention.h"

namespace uvic::model {

base::Table<AttentionKind>& attention_kinds() {
  static base::Table<AttentionKind> kinds(
      "model.attention",
      {
          {"softmax", "the usual: weights are positive", softmax_attention, ScoreKind::softmax},
          {"cog", "sign(s) softmax(|s|): weights may be negative", cog_attention, ScoreKind::cog},
          {"expressive", "s^2 / (1 + s^2), normalised", expressive_attention},
          {"elliptical",
           "softmax of scores weighted by how much values change between blocks",
           elliptical_attention,
           std::nullopt,
           /*reads_v_previous=*/true},
      });
  return kinds;
}

}  // namespace uvic::model
