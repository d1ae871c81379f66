#include "model/attention/kept_scores.h"

#include "model/attention/composed.h"
#include "model/attention/scores.h"
#include "model/network_config.h"

namespace uvic::model {

bool keeps_scores(const AttentionKind& kind,
                  int64_t width,
                  const ActivationSettings& settings,
                  bool has_library) {
  if (!settings.fused_kernels || !(kind.score || kind.composed)) return true;
  if (settings.cpu) return false;
  const int64_t of_score = width / kind.score_parts;
  if (settings.bf16 && of_score % 8 == 0 && of_score <= 128) return false;
  const bool is_softmax =
      kind.composed ? kind.composed != composed_softmax_one : kind.reference == softmax_attention;
  return !(has_library && is_softmax && of_score % (settings.bf16 ? 8 : 4) == 0);
}

}  // namespace uvic::model
