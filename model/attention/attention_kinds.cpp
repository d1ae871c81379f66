#include <fmt/format.h>

#include <stdexcept>

#include "model/attention/attention.h"

namespace uvic::model {

const std::vector<AttentionKind>& attention_kinds() {
  static const std::vector<AttentionKind> kinds = {
      {"softmax", softmax_attention},
      {"cog", cog_attention},
      {"expressive", expressive_attention},
      {"elliptical", elliptical_attention, /*reads_v_previous=*/true},
  };
  return kinds;
}

const AttentionKind& attention_kind(const std::string& name) {
  std::string known;
  for (const auto& kind : attention_kinds()) {
    if (name == kind.name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  throw std::invalid_argument(
      fmt::format("model.attention: unknown kind {}; choose one of {}", name, known));
}

}  // namespace uvic::model
