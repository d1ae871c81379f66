#include "model/weight_transfer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace uvic::model {
namespace {

using Fate = TransferredTensor::Fate;

struct FateName {
  Fate fate;
  const char* name;
};
constexpr FateName kFates[] = {{Fate::kCopied, "copied"},
                               {Fate::kInterpolated, "interpolated"},
                               {Fate::kPartly, "partly copied"},
                               {Fate::kFresh, "new"},
                               {Fate::kDropped, "dropped"}};

}  // namespace

NamedTensors transfer_moments(const WeightTransfer& transfer,
                              const NamedTensors& source,
                              const NamedTensors& fresh) {
  auto moments = fresh;
  for (const auto& [name, fate, note] : transfer.fates) {
    const auto found = source.find(name);
    const auto target = moments.find(name);
    if (fate == Fate::kCopied && found != source.end() && target != moments.end() &&
        found->second.sizes() == target->second.sizes())
      target->second = found->second;
  }
  return moments;
}

std::vector<std::string> transfer_lines(const WeightTransfer& transfer) {
  std::vector<std::string> lines;
  for (const auto& [fate, word] : kFates) {
    std::vector<std::string> tensors;
    for (const auto& tensor : transfer.fates)
      if (tensor.fate == fate)
        tensors.push_back(tensor.note.empty() ? tensor.name
                                              : fmt::format("{} ({})", tensor.name, tensor.note));
    if (tensors.empty()) continue;
    lines.push_back(fate == Fate::kCopied ? fmt::format("{}: {} tensors", word, tensors.size())
                                          : fmt::format("{}: {}", word, fmt::join(tensors, ", ")));
  }
  return lines;
}

}  // namespace uvic::model
