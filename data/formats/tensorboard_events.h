// Event files that TensorBoard reads: a TFRecord for each event, an event is a protocol buffer.
// Source: tensorboard/compat/proto/{event,summary,tensor}.proto, plugins/hparams/plugin_data.proto
// and tensorflow's lib/io/record_writer.h (which give the field numbers in the .cpp).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace uvic::formats {

/// When and where an event belongs: seconds since 1970, and TensorBoard's step.
struct EventTime {
  double wall_time = 0;
  int64_t step = 0;
};

/// Each function gives one whole record. A file is version_record(), then session_start_record(),
/// then any others. A record that was cut off at the end of a file is not read, and breaks nothing.
std::string version_record(double wall_time);

/// TensorBoard drops events of `at.step` or later that come before this one, in this file or in
/// those whose names come before.
std::string session_start_record(const EventTime& at);

/// Values are stored as float32.
std::string scalars_record(const EventTime& at,
                           const std::vector<std::pair<std::string, double>>& values);

std::string image_record(const EventTime& at,
                         const std::string& tag,
                         std::string_view png,
                         int64_t height,
                         int64_t width);

std::string text_record(const EventTime& at, const std::string& tag, std::string_view text);

using HyperParameter = std::variant<bool, double, std::string>;
std::string hyper_parameters_record(const EventTime& at,
                                    const std::map<std::string, HyperParameter>& values);

/// CRC-32C (Castagnoli; polynomial 0x82f63b78), as records have it before it is masked.
uint32_t crc32c(std::string_view bytes);

/// The whole records at the beginning of a file.
struct EventRecords {
  std::vector<std::string_view> payloads;  ///< in the bytes that were given
  std::string fault;  ///< why the rest is not read: a checksum; empty: the end, or a record cut off
};
EventRecords read_records(std::string_view bytes);

/// A record of that payload, as it is stored in a file.
std::string record_of(std::string_view payload);

/// What an event is about.
struct EventOutline {
  EventTime at;
  bool is_version = false;
  bool starts_session = false;
  std::vector<std::string> tags;  ///< of its values
};
/// Throws std::runtime_error naming `name` where the payload is no event.
EventOutline read_event(std::string_view payload, const std::string& name);

}  // namespace uvic::formats
