#include "app/lab/ablation.h"

#include <algorithm>

#include "base/check.h"
#include "model/attention/probe.h"

namespace uvic::app {
namespace {

using model::AttentionInput;
using model::AttentionKind;

torch::Tensor no_output(const AttentionKind&, const AttentionInput& in) {
  return torch::zeros_like(in.q);
}

/// Through the definition of the kind: |w| v.
torch::Tensor absolute_output(const AttentionKind& kind, const AttentionInput& in) {
  return kind.weights(in).abs().to(in.v.scalar_type()).matmul(in.v);
}

torch::Tensor softmax_output(const AttentionKind&, const AttentionInput& in) {
  return model::softmax_attention(in);
}

/// Replaces the heads of some blocks.
class Change : public model::AttentionProbe {
 public:
  Change(const Ablation& ablation, std::vector<int64_t> blocks, int64_t head)
      : ablation_(ablation), blocks_(std::move(blocks)), head_(head) {}

  bool sees() const override { return false; }
  bool replaces(int64_t layer) const override {
    return std::find(blocks_.begin(), blocks_.end(), layer) != blocks_.end();
  }
  torch::Tensor replacement(int64_t /*layer*/,
                            const AttentionKind& kind,
                            const AttentionInput& in) const override {
    const auto changed = ablation_.output(kind, in);
    if (head_ < 0) return changed;
    auto out = model::attention(kind, in).clone();
    out.select(1, head_).copy_(changed.select(1, head_));
    return out;
  }

 private:
  const Ablation& ablation_;
  std::vector<int64_t> blocks_;
  int64_t head_;
};

/// One ablation of one place, and what it changes.
struct Case {
  const Ablation* ablation;
  std::vector<int64_t> blocks;
  AblationResult result;
};

std::vector<Case> cases_of(const AblationSettings& settings,
                           const std::vector<std::string>& kind_of_block,
                           size_t places) {
  std::vector<Case> cases;
  for (const auto& name : settings.kinds) {
    const auto& ablation = ablations().at(name);
    std::vector<int64_t> concerned;
    for (const auto block : settings.blocks) {
      const auto& kind = model::attention_kind(kind_of_block.at(static_cast<size_t>(block)));
      // A gate or a norm after the weights is part of these kinds: only zero is defined for them.
      const bool plain = !kind.gated && kind.score_parts == 1 && kind.uses_scores;
      if (ablation.only_signed && (!kind.is_signed || !plain)) continue;
      concerned.push_back(block);
    }
    const auto add = [&](std::vector<int64_t> blocks, int64_t block, int64_t head) {
      cases.push_back({&ablation,
                       std::move(blocks),
                       {name, block, head, Moments(static_cast<int64_t>(places))}});
    };
    for (const auto block : concerned) {
      for (const auto head : settings.heads) add({block}, block, head);
      add({block}, block, -1);
    }
    if (concerned.size() > 1) add(concerned, -1, -1);
  }
  return cases;
}

}  // namespace

const base::Table<Ablation>& ablations() {
  static const base::Table<Ablation> all(
      "ablate",
      {
          {"zero", "the head gives 0", false, no_output},
          {"absolute", "|w| instead of w, where weights have signs", true, absolute_output},
          {"softmax", "softmax of the same scores, where weights have signs", true, softmax_output},
      });
  return all;
}

std::vector<AblationResult> ablate(model::Network& network,
                                   LabFeed& feed,
                                   const AblationSettings& settings,
                                   const std::vector<std::string>& kind_of_block,
                                   const std::function<void(int64_t, int64_t)>& progress) {
  const torch::NoGradGuard no_grad;
  auto cases = cases_of(settings, kind_of_block, feed.places().size());
  const int64_t total = static_cast<int64_t>(cases.size() * feed.passes()) * settings.images;
  int64_t done = 0;
  feed.rewind();
  for (int64_t begin = 0; begin < settings.images; begin += settings.batch_size) {
    const int64_t count = std::min(settings.batch_size, settings.images - begin);
    feed.read(count);
    for (size_t number = 0; number < feed.passes(); ++number) {
      const auto pass = feed.pass(number);
      const auto losses = [&] {
        const auto prediction = network.forward(pass.x, pass.time, pass.condition);
        std::vector<torch::Tensor> of_places;
        for (const auto place : pass.places) of_places.push_back(feed.losses(prediction, place));
        return torch::stack(of_places);  // [places of the pass, B]
      };
      const auto without = losses();
      for (auto& one : cases) {
        Change change(*one.ablation, one.blocks, one.result.head);
        const model::ProbeScope scope(&change);
        const auto difference = losses() - without;
        for (size_t i = 0; i < pass.places.size(); ++i)
          for (int64_t example = 0; example < count; ++example)
            one.result.change.add(static_cast<int64_t>(pass.places[i]),
                                  difference[static_cast<int64_t>(i)][example].item<double>());
        progress(done += count, total);
      }
    }
  }
  std::vector<AblationResult> results;
  for (auto& one : cases) results.push_back(std::move(one.result));
  return results;
}

}  // namespace uvic::app
