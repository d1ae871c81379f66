#include "data/formats/torch_pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/formats/little_endian.h"
#include "data/formats/pickle.h"
#include "data/formats/zip_archive.h"

namespace uvic::formats {
namespace {

using Kind = PickleValue::Kind;

struct StorageClass {
  std::string_view name;
  torch::ScalarType dtype;
};
constexpr StorageClass kStorageClasses[] = {{"FloatStorage", torch::kFloat32},
                                            {"DoubleStorage", torch::kFloat64},
                                            {"HalfStorage", torch::kFloat16},
                                            {"BFloat16Storage", torch::kBFloat16},
                                            {"LongStorage", torch::kInt64},
                                            {"IntStorage", torch::kInt32},
                                            {"ShortStorage", torch::kInt16},
                                            {"CharStorage", torch::kInt8},
                                            {"ByteStorage", torch::kUInt8},
                                            {"BoolStorage", torch::kBool},
                                            {"ComplexFloatStorage", torch::kComplexFloat},
                                            {"ComplexDoubleStorage", torch::kComplexDouble},
                                            {"UntypedStorage", torch::kUInt8},
                                            {"_UntypedStorage", torch::kUInt8}};

// torch.float32 and its like, as _rebuild_tensor_v3 names them.
constexpr StorageClass kDtypes[] = {{"float32", torch::kFloat32},
                                    {"float64", torch::kFloat64},
                                    {"float16", torch::kFloat16},
                                    {"bfloat16", torch::kBFloat16},
                                    {"int64", torch::kInt64},
                                    {"int32", torch::kInt32},
                                    {"int16", torch::kInt16},
                                    {"int8", torch::kInt8},
                                    {"uint8", torch::kUInt8},
                                    {"bool", torch::kBool},
                                    {"complex64", torch::kComplexFloat},
                                    {"complex128", torch::kComplexDouble}};

template <size_t N>
std::optional<torch::ScalarType> lookup(const StorageClass (&table)[N], std::string_view name) {
  for (const auto& row : table) {
    if (name == row.name) return row.dtype;
  }
  return std::nullopt;
}

struct Global {
  std::string_view module, name;
};
constexpr Global kGlobals[] = {{"collections", "OrderedDict"},
                               {"collections", "defaultdict"},
                               {"builtins", "set"},
                               {"__builtin__", "set"},
                               {"builtins", "frozenset"},
                               {"__builtin__", "frozenset"},
                               {"builtins", "dict"},
                               {"__builtin__", "dict"},
                               {"builtins", "list"},
                               {"__builtin__", "list"},
                               {"builtins", "int"},
                               {"__builtin__", "int"},
                               {"builtins", "float"},
                               {"__builtin__", "float"},
                               {"builtins", "complex"},
                               {"__builtin__", "complex"},
                               {"builtins", "bytearray"},
                               {"__builtin__", "bytearray"},
                               {"_codecs", "encode"},
                               {"torch._utils", "_rebuild_tensor"},
                               {"torch._utils", "_rebuild_tensor_v2"},
                               {"torch._utils", "_rebuild_tensor_v3"},
                               {"torch._utils", "_rebuild_parameter"},
                               {"torch._utils", "_rebuild_parameter_with_state"},
                               {"torch", "Size"},
                               {"torch", "device"},
                               {"torch.serialization", "_get_layout"},
                               {"numpy", "dtype"},
                               {"numpy", "ndarray"},
                               {"numpy.core.multiarray", "scalar"},
                               {"numpy._core.multiarray", "scalar"},
                               {"numpy.core.multiarray", "_reconstruct"},
                               {"numpy._core.multiarray", "_reconstruct"}};

bool is_storage_class(std::string_view module, std::string_view name) {
  return (module == "torch" || module == "torch.cuda" || module == "torch.storage") &&
         lookup(kStorageClasses, name);
}

bool is_allowed(std::string_view module, std::string_view name) {
  return is_storage_class(module, name) || (module == "torch" && lookup(kDtypes, name)) ||
         std::any_of(std::begin(kGlobals), std::end(kGlobals), [&](const Global& global) {
           return global.module == module && global.name == name;
         });
}

/// ('storage', class, key, location, numel[, view]) as a pickle names it.
struct StorageId {
  std::string_view key;
  torch::ScalarType dtype;
  int64_t numel;
  int64_t offset = 0;  // elements; storages were views of others before PyTorch 0.4
};

std::optional<int64_t> as_int(const PickleValue* value) {
  return value->kind == Kind::kInt ? std::optional(value->integer) : std::nullopt;
}

/// The bytes of the storages of a file.
class StorageSource {
 public:
  virtual ~StorageSource() = default;
  virtual c10::Storage load(const StorageId& id) const = 0;  // numel elements at least
};

// A byte storage over part of a file, aligned for every dtype; the view stays writable and never
// reaches the file.
c10::Storage storage_over(const std::shared_ptr<const MappedFile>& file,
                          size_t at,
                          size_t size_bytes) {
  constexpr uintptr_t kWidest = 16;  // complex128
  const auto size = static_cast<int64_t>(size_bytes);
  auto bytes = tensor_over(file, at, {size}, torch::kUInt8);
  if (reinterpret_cast<uintptr_t>(bytes.data_ptr()) % kWidest != 0) bytes = bytes.clone();
  return bytes.storage();
}

/// Turns the values of a pickle into tensors and scalars by path.
class Flattener {
 public:
  Flattener(const std::string& name, size_t pickle_bytes, const StorageSource& storages)
      : name_(name), budget_(64 * uint64_t{pickle_bytes} + (1 << 20)), storages_(storages) {}

  PthFile flatten(const PickleValue* root) {
    visit(root, "", 0);
    return std::move(result_);
  }

  static StorageId storage_id(const std::string& name, const PickleValue* persistent);

 private:
  std::runtime_error fault(const std::string& path, const std::string& text) const {
    return std::runtime_error(
        fmt::format("{}: {}: {}", name_, path.empty() ? "its value" : path, text));
  }

  // Containers may stand in each other many times over, so that a small pickle could mean endlessly
  // many paths.
  void charge(const std::string& path) {
    const uint64_t cost = path.size() + 1;
    if (cost > budget_) throw fault(path.substr(0, 100), "too many values for a file of this size");
    budget_ -= cost;
  }

  void visit(const PickleValue* value, const std::string& path, int depth);
  void visit_items(const PickleValue* list, const std::string& path, int depth);
  void visit_dict(const PickleValue* dict, const std::string& path, int depth);
  void visit_call(const PickleValue* call, const std::string& path, int depth);
  void add_scalar(const std::string& path, PthScalar scalar) {
    if (!result_.scalars.emplace(path, std::move(scalar)).second)
      throw fault(path, "stands there twice");
  }
  std::string key_text(const PickleValue* key, const std::string& path) const;

  torch::Tensor tensor_of(const PickleValue* call, const std::string& path);
  std::vector<int64_t> sizes_of(const PickleValue* tuple, const std::string& path) const;
  c10::Storage storage_of(const PickleValue* persistent, const std::string& path);

  const std::string& name_;
  uint64_t budget_;
  const StorageSource& storages_;
  std::unordered_map<std::string_view, c10::Storage> loaded_;
  std::unordered_map<const PickleValue*, torch::Tensor> tensors_;
  PthFile result_;
};

StorageId Flattener::storage_id(const std::string& name, const PickleValue* persistent) {
  const auto refuse = [&](const std::string& text) {
    return std::runtime_error(fmt::format("{}: {}", name, text));
  };
  const PickleValue* id = persistent->argument;
  if (id->kind == Kind::kTuple && !id->items.empty() && id->items[0]->text == "module") {
    throw refuse(
        "refused: it holds a whole module with its source code. In Python: "
        "torch.save(model.state_dict(), path)");
  }
  if (id->kind != Kind::kTuple || id->items.size() < 5 || id->items[0]->text != "storage" ||
      id->items[1]->kind != Kind::kGlobal || id->items[2]->kind != Kind::kString ||
      !as_int(id->items[4]) || *as_int(id->items[4]) < 0) {
    throw refuse("damaged: a persistent id that names no storage");
  }
  const PickleValue* type = id->items[1];
  if (!is_storage_class(type->module, type->text)) {
    throw refuse(fmt::format("damaged: {}.{} is no storage class", type->module, type->text));
  }
  StorageId result{id->items[2]->text, *lookup(kStorageClasses, type->text), id->items[4]->integer};
  if (id->items.size() > 5 && id->items[5]->kind == Kind::kTuple) {
    const auto& view = id->items[5]->items;  // (key, offset, numel)
    if (view.size() != 3 || !as_int(view[1]) || view[1]->integer < 0) {
      throw refuse("damaged: a view of a storage without an offset");
    }
    result.offset = view[1]->integer;
  }
  if (result.numel > (int64_t{1} << 58)) throw refuse("damaged: a storage of impossible size");
  return result;
}

// A type without a table here, said as Python says it.
std::string type_name(const PickleValue* value) {
  switch (value->kind) {
    case Kind::kBytes:
      return "bytes";
    case Kind::kLong:
      return "int";
    case Kind::kGlobal:
      return fmt::format("{}.{}", value->module, value->text);
    case Kind::kCall:
      return fmt::format("{}.{}", value->callable->module, value->callable->text);
    default:
      return "object";
  }
}

std::string Flattener::key_text(const PickleValue* key, const std::string& path) const {
  switch (key->kind) {
    case Kind::kString:
      return std::string(key->text);
    case Kind::kInt:
      return std::to_string(key->integer);
    case Kind::kBool:
      return key->integer ? "True" : "False";
    case Kind::kNone:
      return "None";
    case Kind::kFloat:
      return fmt::format("{}", key->real);
    case Kind::kTuple: {
      if (key->items.size() > 8) throw fault(path, "a key of many parts");
      std::string text;
      for (const auto* part : key->items) {
        if (part->kind != Kind::kString && part->kind != Kind::kInt)
          throw fault(path, "a key that is no name");
        text += (text.empty() ? "(" : ",") + key_text(part, path);
      }
      return text + ")";
    }
    default:
      throw fault(path, "a key that is no name");
  }
}

void Flattener::visit(const PickleValue* value, const std::string& path, int depth) {
  constexpr int kDeepest = 64;
  constexpr size_t kLongestPath = 1024;
  if (depth > kDeepest) throw fault(path, fmt::format("nested deeper than {} levels", kDeepest));
  if (path.size() > kLongestPath) {
    throw fault(path.substr(0, 100), fmt::format("a path longer than {} bytes", kLongestPath));
  }
  charge(path);
  switch (value->kind) {
    case Kind::kNone:
      return;
    case Kind::kBool:
      return add_scalar(path, value->integer != 0);
    case Kind::kInt:
      return add_scalar(path, value->integer);
    case Kind::kFloat:
      return add_scalar(path, value->real);
    case Kind::kString:
      return add_scalar(path, std::string(value->text));
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kSet:
      return visit_items(value, path, depth);
    case Kind::kDict:
      return visit_dict(value, path, depth);
    case Kind::kCall:
      return visit_call(value, path, depth);
    case Kind::kPersistent: {
      const auto id = storage_id(name_, value);
      auto storage = storage_of(value, path);
      result_.tensors.emplace(
          path, torch::empty({0}, id.dtype).set_(std::move(storage), 0, {id.numel}, {1}));
      return;
    }
    case Kind::kBytes:
    case Kind::kLong:
    case Kind::kGlobal:
      result_.others.emplace(path, type_name(value));
      return;
  }
}

void Flattener::visit_items(const PickleValue* list, const std::string& path, int depth) {
  for (size_t i = 0; i < list->items.size(); ++i) {
    visit(list->items[i],
          path.empty() ? std::to_string(i) : fmt::format("{}.{}", path, i),
          depth + 1);
  }
}

void Flattener::visit_dict(const PickleValue* dict, const std::string& path, int depth) {
  for (size_t i = 0; i + 1 < dict->items.size(); i += 2) {
    std::string key = key_text(dict->items[i], path);
    visit(dict->items[i + 1],
          path.empty() ? std::move(key) : fmt::format("{}.{}", path, key),
          depth + 1);
  }
}

// NumPy's scalars: scalar(dtype('f8'), bytes), where Python 2's protocol writes bytes as
// encode(text, 'latin1').
std::optional<PthScalar> numpy_scalar(const PickleValue* call) {
  const auto& arguments = call->argument->items;
  if (arguments.size() != 2 || !arguments[0]->is_call_of("numpy", "dtype") ||
      arguments[0]->argument->items.empty()) {
    return std::nullopt;
  }
  const auto* state = arguments[0]->state;
  if (state && state->items.size() > 1 && state->items[1]->text == ">") return std::nullopt;
  std::string bytes(arguments[1]->text.substr(0, 16));
  if (arguments[1]->is_call_of("_codecs", "encode") && !arguments[1]->argument->items.empty()) {
    bytes.clear();
    const std::string_view utf8 = arguments[1]->argument->items[0]->text.substr(0, 32);
    for (size_t i = 0; i < utf8.size(); ++i) {
      const auto lead = static_cast<uint8_t>(utf8[i]);
      const bool is_pair = lead >= 0xc0 && i + 1 < utf8.size();
      bytes += static_cast<char>(is_pair ? (lead & 3) << 6 | (utf8[++i] & 0x3f) : lead);
    }
  }
  const std::string_view dtype = arguments[0]->argument->items[0]->text;
  const auto is = [&](std::string_view code, size_t size) {
    return dtype == code && bytes.size() == size;
  };
  const char* data = bytes.data();
  if (is("f8", 8)) return load_little_endian<double>(data);
  if (is("f4", 4)) return double{load_little_endian<float>(data)};
  if (is("i8", 8)) return load_little_endian<int64_t>(data);
  if (is("i4", 4)) return int64_t{load_little_endian<int32_t>(data)};
  if (is("b1", 1)) return data[0] != 0;
  return std::nullopt;
}

void Flattener::visit_call(const PickleValue* call, const std::string& path, int depth) {
  const auto& arguments = call->argument->items;
  if (call->callable->module == "torch._utils") {
    if (!result_.tensors.emplace(path, tensor_of(call, path)).second)
      throw fault(path, "stands there twice");
  } else if (call->is_call_of("torch", "Size") && arguments.size() == 1) {
    visit(arguments[0], path, depth + 1);
  } else if (call->is_call_of("torch", "device") && !arguments.empty()) {
    add_scalar(path, std::string(arguments[0]->text));
  } else if (const auto scalar =
                 call->callable->text == "scalar" ? numpy_scalar(call) : std::nullopt) {
    add_scalar(path, *scalar);
  } else {
    result_.others.emplace(path, type_name(call));
  }
}

std::vector<int64_t> Flattener::sizes_of(const PickleValue* tuple, const std::string& path) const {
  if (tuple->is_call_of("torch", "Size") && !tuple->argument->items.empty()) {
    tuple = tuple->argument->items[0];
  }
  std::vector<int64_t> sizes;
  if ((tuple->kind != Kind::kTuple && tuple->kind != Kind::kList) || tuple->items.size() > 64) {
    throw fault(path, "damaged: its sizes or strides are no tuple");
  }
  for (const auto* size : tuple->items) {
    if (!as_int(size) || *as_int(size) < 0) throw fault(path, "damaged: a negative size or stride");
    sizes.push_back(size->integer);
  }
  return sizes;
}

c10::Storage Flattener::storage_of(const PickleValue* persistent, const std::string& path) {
  if (persistent->kind != Kind::kPersistent)
    throw fault(path, "damaged: a tensor without a storage");
  const auto id = storage_id(name_, persistent);
  const auto known = loaded_.find(id.key);
  if (known != loaded_.end()) {
    if (known->second.nbytes() < static_cast<size_t>(id.numel) * c10::elementSize(id.dtype)) {
      throw fault(path, fmt::format("damaged: storage {} has two sizes", id.key));
    }
    return known->second;
  }
  return loaded_.emplace(id.key, storages_.load(id)).first->second;
}

// The bytes from a tensor's first element to its last, or nothing on overflow.
std::optional<uint64_t> reach_bytes(const std::vector<int64_t>& sizes,
                                    const std::vector<int64_t>& strides,
                                    int64_t offset,
                                    size_t element_bytes) {
  int64_t last = offset;
  for (size_t i = 0; i < sizes.size(); ++i) {
    int64_t step = 0;
    if (__builtin_mul_overflow(sizes[i] - 1, strides[i], &step) ||
        __builtin_add_overflow(last, step, &last)) {
      return std::nullopt;
    }
  }
  if (last >= (int64_t{1} << 58)) return std::nullopt;
  return (static_cast<uint64_t>(last) + 1) * element_bytes;
}

torch::Tensor Flattener::tensor_of(const PickleValue* call, const std::string& path) {
  const auto* const asked = call;
  if (const auto known = tensors_.find(asked); known != tensors_.end()) return known->second;
  // Parameter(tensor) is its tensor.
  for (int wraps = 0; call->callable->text == "_rebuild_parameter" ||
                      call->callable->text == "_rebuild_parameter_with_state";
       ++wraps) {
    if (wraps > 8 || call->argument->items.empty() ||
        call->argument->items[0]->kind != Kind::kCall ||
        call->argument->items[0]->callable->module != "torch._utils") {
      throw fault(path, "damaged: a parameter without a tensor");
    }
    call = call->argument->items[0];
  }
  const auto& arguments = call->argument->items;
  if (arguments.size() < 4) throw fault(path, "damaged: a tensor without sizes");
  const auto sizes = sizes_of(arguments[2], path), strides = sizes_of(arguments[3], path);
  const auto view_offset = as_int(arguments[1]);
  const int64_t numel = checked_numel(sizes);
  if (sizes.size() != strides.size() || !view_offset || *view_offset < 0 || numel < 0) {
    throw fault(path, "damaged: sizes, strides and offset disagree");
  }
  auto storage = storage_of(arguments[0], path);
  const auto id = storage_id(name_, arguments[0]);
  auto dtype = id.dtype;
  if (call->callable->text == "_rebuild_tensor_v3") {
    const auto named = arguments.size() > 6 && arguments[6]->kind == Kind::kGlobal
                           ? lookup(kDtypes, arguments[6]->text)
                           : std::nullopt;
    if (!named) throw fault(path, "a dtype that is not supported");
    dtype = *named;
  }
  torch::Tensor tensor;
  if (numel == 0) {
    tensor = torch::empty(sizes, dtype);
  } else {
    constexpr int64_t kExpanded = int64_t{1} << 24;
    int64_t offset = 0;
    const bool is_huge = __builtin_add_overflow(*view_offset, id.offset, &offset);
    const auto reach = reach_bytes(sizes, strides, offset, c10::elementSize(dtype));
    if (is_huge || !reach || *reach > storage.nbytes()) {
      throw fault(path,
                  fmt::format("damaged: reaches beyond its storage of {} bytes", storage.nbytes()));
    }
    if (numel > kExpanded && static_cast<uint64_t>(numel) > storage.nbytes()) {
      throw fault(path,
                  fmt::format("{} elements over a storage of {} bytes", numel, storage.nbytes()));
    }
    if (dtype == torch::kBool)
      normalise_bools(static_cast<uint8_t*>(storage.data()), storage.nbytes());
    tensor = torch::empty({0}, dtype).set_(storage, offset, sizes, strides);
  }
  return tensors_.emplace(asked, tensor).first->second;
}

// The zip form: PREFIX/data.pkl, PREFIX/data/KEY, PREFIX/byteorder.
class ZipStorages : public StorageSource {
 public:
  ZipStorages(const ZipReader& archive, std::string prefix)
      : archive_(archive), prefix_(std::move(prefix)) {}

  c10::Storage load(const StorageId& id) const override {
    const std::string name = prefix_ + "data/" + std::string(id.key);
    const auto index = archive_.find(name);
    if (!index) throw fault(name, "missing");
    const uint64_t wanted = static_cast<uint64_t>(id.numel) * c10::elementSize(id.dtype);
    const auto& entry = archive_.entries()[*index];
    if (entry.size_bytes < wanted) {
      throw fault(name, fmt::format("{} bytes, its tensors need {}", entry.size_bytes, wanted));
    }
    if (const auto at = archive_.stored_at(*index))
      return storage_over(archive_.file(), *at, wanted);
    const auto content = MappedFile::from_bytes(archive_.read(*index, uint64_t{1} << 40), name);
    return storage_over(content, 0, wanted);
  }

 private:
  std::runtime_error fault(const std::string& entry, const std::string& text) const {
    return std::runtime_error(fmt::format("{}: {}: {}", archive_.name(), entry, text));
  }

  const ZipReader& archive_;
  std::string prefix_;
};

PthFile read_zip_form(const std::shared_ptr<const MappedFile>& file) {
  const ZipReader archive(file);
  std::optional<size_t> pickle_at;
  std::string prefix;
  for (size_t i = 0; i < archive.entries().size(); ++i) {
    constexpr std::string_view kPickle = "data.pkl";
    const std::string& entry = archive.entries()[i].name;
    const size_t slash = entry.find('/');
    const size_t begin = slash == std::string::npos ? 0 : slash + 1;
    if (entry.compare(begin, std::string::npos, kPickle) != 0) continue;
    pickle_at = i;
    prefix = entry.substr(0, begin);
    break;
  }
  if (!pickle_at) {
    throw std::runtime_error(
        fmt::format("{}: a zip archive, but not one of torch.save (no data.pkl)", file->name()));
  }
  if (archive.find(prefix + "constants.pkl")) {
    throw std::runtime_error(
        fmt::format("{}: a TorchScript module, not a state_dict; in Python: "
                    "torch.save(torch.jit.load(path).state_dict(), new_path)",
                    file->name()));
  }
  if (const auto order = archive.find(prefix + "byteorder");
      order && archive.read(*order, 64) != "little") {
    throw std::runtime_error(
        fmt::format("{}: written on a big-endian machine, which is not supported", file->name()));
  }
  const std::string pickle = archive.read(*pickle_at);
  PickleReader reader(pickle, file->name(), is_allowed);
  const auto* root = reader.read();
  const ZipStorages storages(archive, prefix);
  return Flattener(file->name(), pickle.size(), storages).flatten(root);
}

// The legacy stream: pickles of a magic number, a version, the system, the value and the storages'
// keys; then for each key the number of elements (int64) and the elements.
class LegacyStorages : public StorageSource {
 public:
  LegacyStorages(const std::shared_ptr<const MappedFile>& file,
                 const PickleReader& reader,
                 const PickleValue* keys)
      : file_(file) {
    std::unordered_map<std::string_view, StorageId> ids;
    for (const auto* persistent : reader.persistent()) {
      const auto id = Flattener::storage_id(file->name(), persistent);
      ids.emplace(id.key, id);
    }
    if (keys->kind != Kind::kList) throw fault("damaged: no list of storages");
    uint64_t at = reader.position();
    for (const auto* key : keys->items) {
      const auto id = ids.find(key->text);
      if (id == ids.end())
        throw fault(fmt::format("damaged: no tensor uses storage {}", key->text));
      if (file->size() - at < 8) throw truncated(key->text);
      const auto numel = load_little_endian<int64_t>(file->data() + at);
      at += 8;
      const size_t element_bytes = c10::elementSize(id->second.dtype);
      if (numel < 0 || static_cast<uint64_t>(numel) > (file->size() - at) / element_bytes) {
        throw truncated(key->text);
      }
      const uint64_t size = static_cast<uint64_t>(numel) * element_bytes;
      if (!places_.emplace(key->text, Place{at, size}).second) {
        throw fault(fmt::format("damaged: storage {} stands there twice", key->text));
      }
      at += size;
    }
  }

  c10::Storage load(const StorageId& id) const override {
    const auto place = places_.find(id.key);
    if (place == places_.end()) throw fault(fmt::format("damaged: storage {} is missing", id.key));
    uint64_t at = place->second.at;
    const uint64_t element_bytes = c10::elementSize(id.dtype);
    const uint64_t wanted = static_cast<uint64_t>(id.numel) * element_bytes;
    if (wanted > place->second.size_bytes) {
      throw fault(fmt::format("damaged: storage {} has {} bytes, its tensors need {}",
                              id.key,
                              place->second.size_bytes,
                              wanted));
    }
    return storage_over(file_, at, wanted);
  }

 private:
  struct Place {
    uint64_t at, size_bytes;
  };
  std::runtime_error fault(const std::string& text) const {
    return std::runtime_error(fmt::format("{}: {}", file_->name(), text));
  }
  std::runtime_error truncated(std::string_view key) const {
    return fault(
        fmt::format("truncated: storage {} ends beyond the file's {} bytes", key, file_->size()));
  }

  std::shared_ptr<const MappedFile> file_;
  std::unordered_map<std::string_view, Place> places_;
};

constexpr std::string_view kLegacyMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);

PthFile read_legacy_form(const std::shared_ptr<const MappedFile>& file) {
  PickleReader reader(
      {reinterpret_cast<const char*>(file->data()), file->size()}, file->name(), is_allowed);
  const auto refuse = [&](const char* text) {
    return std::runtime_error(fmt::format("{}: {}", file->name(), text));
  };
  const auto* magic = reader.read();
  if (magic->kind != Kind::kLong || magic->text != kLegacyMagic) {
    throw refuse("a pickle, but not one of torch.save");
  }
  if (const auto* version = reader.read(); as_int(version) != 1001) {
    throw refuse("a version of the legacy form other than 1001");
  }
  const auto* system = reader.read();
  for (size_t i = 0; i + 1 < system->items.size(); i += 2) {
    if (system->items[i]->text == "little_endian" && system->items[i + 1]->integer == 0) {
      throw refuse("written on a big-endian machine, which is not supported");
    }
  }
  const size_t begin = reader.position();
  const auto* root = reader.read();
  const size_t pickle_bytes = reader.position() - begin;
  const auto* keys = reader.read();
  const LegacyStorages storages(file, reader, keys);
  return Flattener(file->name(), pickle_bytes, storages).flatten(root);
}

}  // namespace

std::map<std::string, torch::Tensor> read_pth(const std::filesystem::path& path) {
  return read_pth_file(path).tensors;
}

PthFile read_pth_file(const std::filesystem::path& path) {
  return read_pth_file(MappedFile::open(path));
}

PthFile read_pth_file(const std::shared_ptr<const MappedFile>& file) {
  const std::string_view bytes(reinterpret_cast<const char*>(file->data()), file->size());
  try {
    if (bytes.substr(0, 2) == "PK") return read_zip_form(file);
    if (bytes.substr(0, 1) == "\x80") return read_legacy_form(file);
  } catch (const c10::Error& error) {
    throw std::runtime_error(
        fmt::format("{}: damaged: {}", file->name(), error.what_without_backtrace()));
  }
  if (bytes.size() > 262 && bytes.substr(257, 5) == "ustar") {
    throw std::runtime_error(
        fmt::format("{}: the tar form of PyTorch 0.1, which is not supported; load and save it in "
                    "a newer PyTorch",
                    file->name()));
  }
  throw std::runtime_error(fmt::format("{}: not a file of torch.save", file->name()));
}

namespace {

// The pickle of an OrderedDict of tensors, protocol 2, as torch.save writes it.
class StateDictPickle {
 public:
  StateDictPickle() {
    out_ = std::string("\x80\x02", 2);
    global("collections", "OrderedDict");
    out_ += ")R(";
  }

  void add(const std::string& name,
           const torch::Tensor& tensor,
           std::string_view storage_class,
           size_t key) {
    text(name);
    global("torch._utils", "_rebuild_tensor_v2");
    out_ += "((";
    text("storage");
    global("torch", storage_class);
    text(std::to_string(key));
    text("cpu");
    integer(static_cast<int64_t>(tensor.storage().nbytes() / tensor.element_size()));
    out_ += "tQ";
    integer(tensor.storage_offset());
    tuple(tensor.sizes());
    tuple(tensor.strides());
    out_ += '\x89';  // requires_grad=False
    global("collections", "OrderedDict");
    out_ += ")RtR";  // no backward hooks; end of the arguments; call
  }

  std::string finish() { return out_ + "u."; }

 private:
  void global(std::string_view module, std::string_view name) {
    out_ += fmt::format("c{}\n{}\n", module, name);
  }
  void text(std::string_view utf8) {
    out_ += 'X';
    append_little_endian<uint32_t>(out_, static_cast<uint32_t>(utf8.size()));
    out_ += utf8;
  }
  void integer(int64_t value) {
    out_ += std::string("\x8a\x08", 2);  // LONG1 of eight bytes
    append_little_endian(out_, value);
  }
  void tuple(at::IntArrayRef values) {
    out_ += '(';
    for (const int64_t value : values) integer(value);
    out_ += 't';
  }

  std::string out_;
};

std::string_view storage_class_of(const std::string& name, const torch::Tensor& tensor) {
  if (tensor.layout() == torch::kStrided) {
    for (const auto& row : kStorageClasses) {
      if (row.dtype == tensor.scalar_type()) return row.name;
    }
  }
  throw std::invalid_argument(fmt::format("write_pth: {} is no dense tensor of a known dtype ({})",
                                          name,
                                          c10::toString(tensor.scalar_type())));
}

}  // namespace

void write_pth(const std::filesystem::path& path,
               const std::map<std::string, torch::Tensor>& tensors) {
  StateDictPickle pickle;
  std::vector<torch::Tensor> stored;  // one tensor for each storage
  std::unordered_map<const void*, size_t> keys;
  for (const auto& [name, tensor] : tensors) {
    const auto storage_class = storage_class_of(name, tensor);
    const auto [known, is_new] =
        keys.emplace(tensor.storage().unsafeGetStorageImpl(), stored.size());
    if (is_new) stored.push_back(tensor);
    pickle.add(name, tensor, storage_class, known->second);
  }
  const std::string prefix = "archive/";
  constexpr size_t kAlignment = 64;
  ZipWriter archive(path);
  archive.add(prefix + "data.pkl", pickle.finish(), kAlignment);
  archive.add(prefix + "byteorder", "little", kAlignment);
  for (size_t key = 0; key < stored.size(); ++key) {
    const auto& storage = stored[key].storage();
    const auto size = static_cast<int64_t>(storage.nbytes());
    const auto bytes =
        torch::empty({0}, stored[key].options().dtype(torch::kUInt8).requires_grad(false))
            .set_(storage, 0, {size}, {1})
            .cpu();
    archive.add(prefix + "data/" + std::to_string(key),
                {static_cast<const char*>(bytes.data_ptr()), storage.nbytes()},
                kAlignment);
  }
  archive.add(prefix + "version", "3\n", kAlignment);
  archive.commit();
}

}  // namespace uvic::formats
