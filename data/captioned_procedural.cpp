#include <fmt/format.h>

#include <array>
#include <stdexcept>
#include <utility>

#include "data/procedural.h"

namespace uvic::data {
namespace {

constexpr int kCaptionedVersion =
    1;  // part of the fingerprint: raise it when a pixel or a word changes

struct Label {
  const char* name;
  const std::vector<std::string>& (*words)();
  uint32_t ProceduralAttributes::*value;
};
constexpr std::array<Label, 5> kLabels = {
    {{"shape", shape_words, &ProceduralAttributes::shape},
     {"colour", colour_words, &ProceduralAttributes::colour},
     {"size", size_words, &ProceduralAttributes::size},
     {"tone", tone_words, &ProceduralAttributes::tone},
     {"texture", texture_words, &ProceduralAttributes::texture}}};

/// The first of ever more streams of the index's shape whose scene belongs to the split.
uint64_t stream_of(uint64_t seed, int64_t index, CaptionSplit split) {
  constexpr uint64_t kStep = uint64_t{10} << 48;  // keeps index mod 10
  for (auto stream = static_cast<uint64_t>(index);; stream += kStep) {
    const bool held_out = is_held_out(draw_named(seed, stream, 1, nullptr));
    if (split == CaptionSplit::kAll || held_out == (split == CaptionSplit::kUnseen)) return stream;
  }
}

const char* split_name(CaptionSplit split) {
  return split == CaptionSplit::kSeen ? "seen" : split == CaptionSplit::kUnseen ? "unseen" : "all";
}

}  // namespace

CaptionedProcedural::CaptionedProcedural(
    int64_t size, int64_t image_size, uint64_t seed, CaptionSplit split, std::string label)
    : size_(size), image_size_(image_size), seed_(seed), split_(split), label_(std::move(label)) {
  const ProceduralDataset plain(size, image_size, seed);  // throws for sizes
  for (const auto& one : kLabels)
    if (label_ == one.name) class_names_ = &one.words(), labelled_ = one.value;
  if (!class_names_)
    throw std::invalid_argument(fmt::format(
        "procedural-text: no label \"{}\"; give shape, colour, size, tone or texture", label_));
}

std::string CaptionedProcedural::describe() const {
  return fmt::format(
      "procedural-text: {} captioned images of {} px, {} combinations, labelled by "
      "{}, seed {}",
      size_,
      image_size_,
      split_name(split_),
      label_,
      seed_);
}

std::string CaptionedProcedural::fingerprint() const {
  return fmt::format("procedural-text v{} images={} size={} split={} label={} seed={}",
                     kCaptionedVersion,
                     size_,
                     image_size_,
                     split_name(split_),
                     label_,
                     seed_);
}

void CaptionedProcedural::check_index(int64_t index) const {
  if (index < 0 || index >= size_)
    throw std::out_of_range(fmt::format("procedural-text: image {} of {}", index, size_));
}

int64_t CaptionedProcedural::read(int64_t index, uint8_t* planes) const {
  check_index(index);
  return draw_named(seed_, stream_of(seed_, index, split_), image_size_, planes).*labelled_;
}

ProceduralAttributes CaptionedProcedural::attributes(int64_t index) const {
  check_index(index);
  return draw_named(seed_, stream_of(seed_, index, split_), image_size_, nullptr);
}

std::vector<std::string> CaptionedProcedural::captions(int64_t index) const {
  return {caption_of(attributes(index))};
}

}  // namespace uvic::data
