#include "data/formats/tensorboard_events.h"

#include <array>
#include <cstring>

#include "data/formats/file_error.h"
#include "data/formats/little_endian.h"

namespace uvic::formats {
namespace {

constexpr uint32_t kCastagnoli = 0x82f63b78, kMaskDelta = 0xa282ead8;
constexpr size_t kHeader = sizeof(uint64_t) + sizeof(uint32_t);

std::array<uint32_t, 256> castagnoli_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? kCastagnoli : 0);
    table[i] = value;
  }
  return table;
}

uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + kMaskDelta;
}

/// A message of the protocol buffers' wire format, field by field.
class Message {
 public:
  Message& number(int field, uint64_t value) {
    key(field, 0);
    varint(value);
    return *this;
  }
  Message& real(int field, double value) {
    key(field, 1);
    append_little_endian(bytes_, value);
    return *this;
  }
  Message& real32(int field, double value) {
    key(field, 5);
    append_little_endian(bytes_, static_cast<float>(value));
    return *this;
  }
  Message& text(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(int field, const Message& value) { return text(field, value.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  void key(int field, int wire_type) { varint(static_cast<uint64_t>(field << 3 | wire_type)); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

// Event: wall_time 1, step 2, file_version 3, summary 5, session_log 7.
Message event(const EventTime& at) {
  Message message;
  message.real(1, at.wall_time).number(2, static_cast<uint64_t>(at.step));
  return message;
}

// SummaryMetadata: plugin_data 1 (plugin_name 1, content 2).
Message plugin(std::string_view name, std::string_view content = "") {
  Message data;
  data.text(1, name);
  if (!content.empty()) data.text(2, content);
  return Message().message(1, data);
}

// google.protobuf.Value: number_value 2, string_value 3, bool_value 4.
Message value_of(const HyperParameter& value) {
  Message message;
  if (const auto* number = std::get_if<double>(&value))
    message.real(2, *number);
  else if (const auto* text = std::get_if<std::string>(&value))
    message.text(3, *text);
  else
    message.number(4, std::get<bool>(value));
  return message;
}

/// The fields of a message, one after the other.
class EventFields {
 public:
  EventFields(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  bool next() {
    if (bytes_.empty()) return false;
    const auto key = varint();
    number = key >> 3;
    switch (key & 7) {
      case 0:
        value = varint();
        text = {};
        return true;
      case 1:
        text = take(sizeof(uint64_t));
        return true;
      case 2:
        text = take(varint());
        return true;
      case 5:
        text = take(sizeof(uint32_t));
        return true;
      default:
        fail();
    }
  }

  uint64_t number = 0, value = 0;
  std::string_view text;

 private:
  [[noreturn]] void fail() const { throw file_error(name_, "one of its records is not an event"); }

  uint64_t varint() {
    uint64_t result = 0;
    for (size_t i = 0; i < bytes_.size() && i < 10; ++i) {
      const auto byte = static_cast<unsigned char>(bytes_[i]);
      result |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
      if (byte & 0x80) continue;
      bytes_.remove_prefix(i + 1);
      return result;
    }
    fail();
  }

  std::string_view take(uint64_t size) {
    if (size > bytes_.size()) fail();
    const auto taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  std::string_view bytes_;
  const std::string& name_;
};

void read_summary(std::string_view summary, const std::string& name, EventOutline& event) {
  for (EventFields values(summary, name); values.next();) {
    if (values.number != 1) continue;
    for (EventFields value(values.text, name); value.next();)
      if (value.number == 1) event.tags.emplace_back(value.text);
  }
}

}  // namespace

std::string record_of(std::string_view payload) {
  std::string record;
  append_little_endian<uint64_t>(record, payload.size());
  append_little_endian<uint32_t>(record, masked_crc(record));
  record += payload;
  append_little_endian<uint32_t>(record, masked_crc(payload));
  return record;
}

uint32_t crc32c(std::string_view bytes) {
  static const auto table = castagnoli_table();
  uint32_t crc = ~uint32_t{0};
  for (const char c : bytes) crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xff] ^ crc >> 8;
  return ~crc;
}

std::string version_record(double wall_time) {
  return record_of(Message().real(1, wall_time).text(3, "brain.Event:2").bytes());
}

std::string session_start_record(const EventTime& at) {
  constexpr uint64_t kStart = 1;  // SessionLog.status
  return record_of(event(at).message(7, Message().number(1, kStart)).bytes());
}

// Summary: value 1 (tag 1, simple_value 2, image 4, tensor 8, metadata 9).
std::string scalars_record(const EventTime& at,
                           const std::vector<std::pair<std::string, double>>& values) {
  Message summary;
  for (const auto& [tag, value] : values)
    summary.message(1, Message().text(1, tag).real32(2, value));
  return record_of(event(at).message(5, summary).bytes());
}

// Image: height 1, width 2, colorspace 3 (3: RGB), encoded_image_string 4.
std::string image_record(const EventTime& at,
                         const std::string& tag,
                         std::string_view png,
                         int64_t height,
                         int64_t width) {
  constexpr uint64_t kRgb = 3;
  Message image;
  image.number(1, static_cast<uint64_t>(height))
      .number(2, static_cast<uint64_t>(width))
      .number(3, kRgb)
      .text(4, png);
  const auto value = Message().text(1, tag).message(4, image);
  return record_of(event(at).message(5, Message().message(1, value)).bytes());
}

// TensorProto: dtype 1 (7: string), tensor_shape 2 (dim 2: size 1), string_val 8.
std::string text_record(const EventTime& at, const std::string& tag, std::string_view text) {
  constexpr uint64_t kString = 7;
  Message tensor;
  tensor.number(1, kString).message(2, Message().message(2, Message().number(1, 1))).text(8, text);
  const auto value = Message().text(1, tag).message(8, tensor).message(9, plugin("text"));
  return record_of(event(at).message(5, Message().message(1, value)).bytes());
}

// HParamsPluginData: session_start_info 3 (hparams 1, a map: key 1, value 2; start_time_secs 5).
std::string hyper_parameters_record(const EventTime& at,
                                    const std::map<std::string, HyperParameter>& values) {
  Message start;
  for (const auto& [name, value] : values)
    start.message(1, Message().text(1, name).message(2, value_of(value)));
  start.real(5, at.wall_time);
  const auto data = Message().message(3, start);
  const auto value =
      Message().text(1, "_hparams_/session_start_info").message(9, plugin("hparams", data.bytes()));
  return record_of(event(at).message(5, Message().message(1, value)).bytes());
}

EventRecords read_records(std::string_view bytes) {
  EventRecords records;
  while (bytes.size() >= kHeader) {
    const auto size = load_little_endian<uint64_t>(bytes.data());
    if (load_little_endian<uint32_t>(bytes.data() + sizeof(uint64_t)) !=
        masked_crc(bytes.substr(0, sizeof(uint64_t)))) {
      records.fault = "the checksum of a record's length is wrong";
      break;
    }
    const size_t left = bytes.size() - kHeader;
    if (left < sizeof(uint32_t) || size > left - sizeof(uint32_t)) break;
    const auto payload = bytes.substr(kHeader, size);
    if (load_little_endian<uint32_t>(payload.data() + size) != masked_crc(payload)) {
      records.fault = "the checksum of a record is wrong";
      break;
    }
    records.payloads.push_back(payload);
    bytes.remove_prefix(kHeader + size + sizeof(uint32_t));
  }
  return records;
}

EventOutline read_event(std::string_view payload, const std::string& name) {
  EventOutline event;
  for (EventFields field(payload, name); field.next();) {
    if (field.number == 1 && field.text.size() == sizeof(double))
      event.at.wall_time = load_little_endian<double>(field.text.data());
    if (field.number == 2 && field.text.empty()) event.at.step = static_cast<int64_t>(field.value);
    if (field.number == 3) event.is_version = true;
    if (field.number == 5) read_summary(field.text, name, event);
    if (field.number == 7)
      for (EventFields session(field.text, name); session.next();)
        event.starts_session |= session.number == 1 && session.value == 1;
  }
  return event;
}

}  // namespace uvic::formats
