// CIFAR-10, binary version: https://www.cs.toronto.edu/~kriz/cifar.html
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/formats/mapped_file.h"

namespace uvic::data {

/// The records of batch files, in order: 1 byte of class, then 32 x 32 red, green, blue planes;
/// 3073 bytes in all.
class Cifar10 : public Dataset {
 public:
  /// `part`: "train" for data_batch_1.bin .. data_batch_5.bin, "test" for test_batch.bin, "" for
  /// the first of them that is there. Throws std::runtime_error naming a file that is missing or no
  /// list of such records.
  Cifar10(const std::filesystem::path& folder, const std::string& part, int64_t image_size);

  int64_t size() const override { return size_; }
  int64_t image_size() const override { return image_size_; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  std::string describe() const override;
  std::string fingerprint() const override;
  std::string fingerprint_of_listing() const override;
  int64_t read(int64_t index, uint8_t* planes) const override;

 private:
  std::string name_, part_;
  std::vector<std::shared_ptr<const formats::MappedFile>> batches_;
  std::vector<std::string> class_names_;
  int64_t size_ = 0, image_size_;
};

/// The folder with CIFAR-10's binary files: `folder` or its subfolder cifar-10-batches-bin; empty
/// if neither. Throws std::runtime_error if it holds the Python or Matlab version instead.
std::filesystem::path find_cifar10(const std::filesystem::path& folder);

}  // namespace uvic::data
