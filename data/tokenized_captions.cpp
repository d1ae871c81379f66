#include "data/tokenized_captions.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace uvic::data {

TokenizedCaptions::TokenizedCaptions(std::unique_ptr<Dataset> images,
                                     int64_t tokens,
                                     Tokenize tokenize)
    : images_(std::move(images)), tokens_(tokens), tokenize_(std::move(tokenize)) {}

ExampleFormat TokenizedCaptions::format() const {
  auto format = images_->format();
  format.context_tokens = tokens_;
  return format;
}

int64_t TokenizedCaptions::read_example(int64_t index,
                                        uint64_t choice,
                                        const ExampleMemory& to) const {
  if (to.tokens) {
    const auto captions = images_->captions(index);
    if (captions.empty())
      throw std::runtime_error(
          fmt::format("{}: image {} has no caption", images_->describe(), index));
    const auto ids = tokenize_(captions[choice % captions.size()]);
    std::copy(ids.begin(), ids.end(), to.tokens);
  }
  return images_->read_example(index, choice, {to.image, nullptr, nullptr});
}

}  // namespace uvic::data
