#include "data/tokens/sentencepiece_model.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "data/formats/file_error.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

/// A field of a message: a number, or bytes.
struct ProtoField {
  uint32_t number = 0;
  uint64_t value = 0;
  std::string_view bytes;
};

enum WireType : uint32_t { kWireVarint = 0, kWireFixed64 = 1, kWireBytes = 2, kWireFixed32 = 5 };

/// The fields of a message in protocol buffers' wire format.
class ProtoReader {
 public:
  ProtoReader(std::string_view bytes, const std::string& source) : bytes_(bytes), source_(source) {}

  bool next(ProtoField& field) {
    if (at_ == bytes_.size()) return false;
    const uint64_t tag = varint();
    field = {static_cast<uint32_t>(tag >> 3), 0, {}};
    switch (tag & 7) {
      case kWireVarint:
        field.value = varint();
        break;
      case kWireFixed64:
        field.bytes = take(8);
        break;
      case kWireFixed32: {
        field.bytes = take(4);
        for (size_t i = 4; i-- > 0;)
          field.value = field.value << 8 | static_cast<unsigned char>(field.bytes[i]);
        break;
      }
      case kWireBytes:
        field.bytes = take(varint());
        break;
      default:
        refuse();
    }
    if (field.number == 0) refuse();
    return true;
  }

 private:
  [[noreturn]] void refuse() const {
    throw formats::file_error(source_, "no tokenizer.json and no model of SentencePiece");
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) refuse();
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return value;
    }
    refuse();
  }
  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) refuse();
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }

  std::string_view bytes_;
  const std::string& source_;
  size_t at_ = 0;
};

float float_of(uint64_t bits) {
  const auto narrow = static_cast<uint32_t>(bits);
  float value = 0;
  std::memcpy(&value, &narrow, sizeof value);
  return value;
}

SentencePiece read_piece(std::string_view bytes, const std::string& source) {
  SentencePiece piece;
  ProtoReader reader(bytes, source);
  for (ProtoField field; reader.next(field);) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2) piece.score = float_of(field.value);
    if (field.number == 3) {
      if (field.value < 1 || field.value > 6)
        throw formats::file_error(source, fmt::format("a piece of unknown type {}", field.value));
      piece.type = static_cast<PieceType>(field.value);
    }
  }
  if (find_bad_utf8(piece.text) || !std::isfinite(piece.score))
    throw formats::file_error(source, "a piece that is no UTF-8, or whose score is no number");
  return piece;
}

void read_trainer(std::string_view bytes, const std::string& source, SentencePieceModel& model) {
  ProtoReader reader(bytes, source);
  for (ProtoField field; reader.next(field);) {
    if (field.number == 3) {
      if (field.value != 1 && field.value != 2)
        throw formats::file_error(
            source,
            fmt::format("a model of {}; only unigram and BPE models are understood",
                        field.value == 3   ? "words"
                        : field.value == 4 ? "characters"
                                           : "an unknown kind"));
      model.kind = static_cast<SentencePieceKind>(field.value);
    }
    if (field.number == 24) model.space_is_suffix = field.value != 0;
    if (field.number == 35) model.byte_fallback = field.value != 0;
    if (field.number == 44) model.unknown_text = field.bytes;
    if (field.number == 46) model.bos = field.bytes;
    if (field.number == 47) model.eos = field.bytes;
  }
}

void read_normalizer(std::string_view bytes, const std::string& source, SentencePieceModel& model) {
  ProtoReader reader(bytes, source);
  for (ProtoField field; reader.next(field);) {
    if (field.number == 2) model.characters = field.bytes;
    if (field.number == 3) model.add_dummy_prefix = field.value != 0;
    if (field.number == 4) model.remove_extra_whitespaces = field.value != 0;
    if (field.number == 5) model.escape_whitespaces = field.value != 0;
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece(std::string_view bytes, const std::string& source) {
  SentencePieceModel model;
  ProtoReader reader(bytes, source);
  int64_t unknown = 0;
  for (ProtoField field; reader.next(field);) {
    if (field.number == 1) {
      model.pieces.push_back(read_piece(field.bytes, source));
      unknown += model.pieces.back().type == PieceType::kUnknown;
    }
    if (field.number == 2) read_trainer(field.bytes, source, model);
    if (field.number == 3) read_normalizer(field.bytes, source, model);
    if (field.number == 5) {
      SentencePieceModel other;
      read_normalizer(field.bytes, source, other);
      if (!other.characters.empty())
        throw formats::file_error(source, "its denormalizer is not understood");
    }
  }
  if (model.pieces.empty())
    throw formats::file_error(source, "no tokenizer.json and no model of SentencePiece");
  if (unknown != 1)
    throw formats::file_error(source,
                              fmt::format("{} pieces for unknown text, a model has one", unknown));
  return model;
}

}  // namespace uvic::data
