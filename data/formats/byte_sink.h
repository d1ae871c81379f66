// Where an archive's writer puts its bytes.
#pragma once

#include <cstddef>
#include <filesystem>

#include "data/formats/atomic_file.h"

namespace uvic::formats {

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void write(const void* bytes, size_t size_bytes) = 0;
  virtual void commit() = 0;  ///< the file gets its final name
};

/// A file that is there whole or not at all, and of which a killed writer leaves nothing.
class AtomicSink : public ByteSink {
 public:
  explicit AtomicSink(const std::filesystem::path& path) : file_(path) {}
  void write(const void* bytes, size_t size_bytes) override { file_.write(bytes, size_bytes); }
  void commit() override { file_.commit(); }

 private:
  AtomicFile file_;
};

}  // namespace uvic::formats
