// Tar archives, written as a stream of files.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "data/formats/byte_sink.h"

namespace uvic::formats {

/// ustar: regular files of mode 0644 of nobody, of the time 0, so that equal content gives equal
/// archives.
class TarWriter {
 public:
  /// What is in the sink already are whole entries.
  explicit TarWriter(ByteSink& sink) : sink_(sink) {}

  /// Throws std::invalid_argument for a name that is empty, absolute, longer than 100 bytes or
  /// holds "..", and for 8 GiB or more.
  void add(const std::string& name, std::string_view content);
  void commit();  ///< writes the end mark

 private:
  ByteSink& sink_;
};

}  // namespace uvic::formats
