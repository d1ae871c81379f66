// What the values of a PyTorch pickle mean: tensors over storages, scalars, containers.
// torch_pickle.cpp finds pickle and storages in the two forms of a file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/torch.h"
#include "data/formats/pickle.h"
#include "data/formats/torch_pickle.h"

namespace uvic::formats {

/// The name of a storage class in the module torch, as FloatStorage, and its element type.
std::optional<torch::ScalarType> storage_dtype(std::string_view class_name);
std::optional<std::string_view> storage_class(torch::ScalarType dtype);

/// Whether a pickle may refer to the global: not where calling it runs code of the file's choice.
/// Nothing is called here in either case; a file that tries is not one to trust.
bool is_harmless_global(std::string_view module, std::string_view name);

/// ('storage', class, key, location, numel[, view]): what torch.save writes for a storage.
struct StorageId {
  std::string_view key;
  torch::ScalarType dtype;
  int64_t numel;
  int64_t offset = 0;  ///< elements; storages were views of others before PyTorch 0.4
};

/// Throws std::runtime_error that names `name` if the persistent id is no storage.
StorageId storage_id(const std::string& name, const PickleValue* persistent);

/// The bytes of the storages of a file.
class StorageSource {
 public:
  virtual ~StorageSource() = default;
  virtual c10::Storage load(const StorageId& id) const = 0;  ///< numel elements at least
};

/// Lays a pickle's value out by dotted path. `pickle_bytes` bounds how much may come of it; `name`
/// is used in messages.
PthFile flatten_pickle(const PickleValue* root,
                       const std::string& name,
                       size_t pickle_bytes,
                       const StorageSource& storages);

}  // namespace uvic::formats
