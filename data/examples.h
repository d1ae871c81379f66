// What a run records of its training examples, whatever they are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace uvic::data {

class Examples {
 public:
  virtual ~Examples() = default;

  virtual std::string describe() const = 0;  ///< one line for logs and provenance
  /// What a user should know of the set: files left out, classes out of order, orientations. A line
  /// each; describe() has them too.
  virtual std::vector<std::string> notes() const { return {}; }
  virtual const std::vector<std::string>& class_names() const = 0;  ///< empty: unlabelled

  /// Equal for equal examples in equal order, by their content: checksums of an archive's
  /// directory, of a folder those of three blocks of each of at most 65536 files. A run keeps it
  /// and compares on resume (is_same_data).
  virtual std::string fingerprint() const = 0;
  /// What fingerprint() was before it saw contents: names and sizes alone. Runs of that time have
  /// it in their record.
  virtual std::string fingerprint_of_listing() const { return fingerprint(); }

  /// Files found so far that can't be decoded; each is replaced by the next good one
  /// (DatasetOptions::skip_bad).
  virtual int64_t skipped() const { return 0; }
};

/// Whether a run that recorded `fingerprint` was trained on `examples`: fingerprints are compared
/// in the form that the record has.
bool is_same_data(const Examples& examples, const std::string& fingerprint);

}  // namespace uvic::data
