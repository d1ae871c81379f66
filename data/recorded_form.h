// Fingerprints of one set in several forms.
#pragma once

#include <string>

namespace uvic::data {

/// Examples whose fingerprint depends on what holds them, or on the version that made it.
class FingerprintForms {
 public:
  virtual ~FingerprintForms() = default;

  /// The fingerprint in the form that `recorded` has, to compare the two: of names and sizes alone
  /// where the record says no more; of images that were packed or unpacked since, in the form of
  /// the container that the record names.
  virtual std::string fingerprint_like(const std::string& recorded) const = 0;
};

}  // namespace uvic::data
