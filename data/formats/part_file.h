// A large file that is written over several launches: what a killed one wrote is kept and
// continued.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "data/formats/byte_sink.h"

namespace uvic::formats {

/// NAME.uvic-part, and next to it NAME.uvic-part.json, which says what is being written and how far
/// it is safely there. commit() gives it its final name; a link is followed. Of one that was left
/// before its first checkpoint() nothing stays.
///
/// Two launches at a time: the second is refused. Every failure throws std::runtime_error naming
/// the final path.
class PartFile : public ByteSink {
 public:
  /// Continues what is there if it was begun with the same `plan`, else begins anew.
  PartFile(std::filesystem::path final_path, const std::string& plan);
  ~PartFile() override;
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  uint64_t size_bytes() const { return at_; }  ///< so much is there, or was written
  int64_t done() const { return done_; }       ///< as the last checkpoint() said; 0 at first

  /// The bytes that are there, read back.
  std::string read(uint64_t offset, size_t size_bytes) const;

  void write(const void* bytes, size_t size_bytes) override;
  /// Flushes to the disk, then records that all so far is there: `done` of whatever it counts.
  void checkpoint(int64_t done);
  void commit() override;

 private:
  void open(const std::string& plan);
  [[noreturn]] void fail(const std::string& what) const;

  std::filesystem::path final_, part_, record_;
  std::string plan_;
  int descriptor_ = -1;
  uint64_t at_ = 0;
  int64_t done_ = 0;
};

}  // namespace uvic::formats
