#include "data/formats/torch_pickle_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/formats/file_error.h"
#include "data/formats/little_endian.h"
#include "data/formats/mapped_file.h"

namespace uvic::formats {
namespace {

using Kind = PickleValue::Kind;

struct NamedType {
  std::string_view name;
  torch::ScalarType dtype;
};
constexpr NamedType kStorageClasses[] = {{"FloatStorage", torch::kFloat32},
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
constexpr NamedType kNamedDtypes[] = {{"float32", torch::kFloat32},
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
std::optional<torch::ScalarType> lookup(const NamedType (&table)[N], std::string_view name) {
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
                               {"torch._tensor", "_rebuild_from_type_v2"},
                               {"torch", "Tensor"},
                               {"torch.nn.parameter", "Parameter"},
                               {"argparse", "Namespace"},
                               {"pathlib", "PosixPath"},
                               {"pathlib", "PurePosixPath"},
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

std::optional<int64_t> as_int(const PickleValue* value) {
  return value->kind == Kind::kInt ? std::optional(value->integer) : std::nullopt;
}

}  // namespace

std::optional<torch::ScalarType> storage_dtype(std::string_view class_name) {
  return lookup(kStorageClasses, class_name);
}

std::optional<std::string_view> storage_class(torch::ScalarType dtype) {
  for (const auto& row : kStorageClasses) {
    if (row.dtype == dtype) return row.name;
  }
  return std::nullopt;
}

bool is_plain_data(std::string_view module, std::string_view name) {
  return is_storage_class(module, name) || (module == "torch" && lookup(kNamedDtypes, name)) ||
         std::any_of(std::begin(kGlobals), std::end(kGlobals), [&](const Global& global) {
           return global.module == module && global.name == name;
         });
}

StorageId storage_id(const std::string& name, const PickleValue* persistent) {
  const auto refuse = [&](const std::string& text) { return file_error(name, text); };
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

namespace {

bool is_tensor_call(const PickleValue* value) {
  return value->kind == Kind::kCall &&
         (value->callable->module == "torch._utils" || value->callable->module == "torch._tensor");
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

 private:
  std::runtime_error fault(const std::string& path, const std::string& text) const {
    return file_error(name_, (path.empty() ? "its value" : path) + ": " + text);
  }

  // Containers may stand in each other many times over, so that a small pickle could mean endlessly
  // many paths.
  void charge(const std::string& path, uint64_t bytes) {
    if (bytes > budget_)
      throw fault(path.substr(0, 100), "too many values for a file of this size");
    budget_ -= bytes;
  }

  void visit(const PickleValue* value, const std::string& path, int depth);
  void visit_items(const PickleValue* list, const std::string& path, int depth);
  void visit_dict(const PickleValue* dict, const std::string& path, int depth);
  void visit_call(const PickleValue* call, const std::string& path, int depth);
  void add_tensor(const std::string& path, torch::Tensor tensor) {
    if (!result_.tensors.emplace(path, std::move(tensor)).second) {
      throw fault(path, "stands there twice");
    }
  }
  void add_scalar(const std::string& path, PthScalar scalar) {
    if (const auto* text = std::get_if<std::string>(&scalar)) charge(path, text->size());
    if (!result_.scalars.emplace(path, std::move(scalar)).second) {
      throw fault(path, "stands there twice");
    }
  }
  std::string key_text(const PickleValue* key, const std::string& path) const;

  std::pair<std::string_view, const PickleValue*> unwrap(const PickleValue* call,
                                                         const std::string& path) const;
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

// A type without a table here, said as Python says it.
std::string type_name(const PickleValue* value) {
  switch (value->kind) {
    case Kind::kBytes:
      return "bytes";
    case Kind::kLong:
      return "int";
    case Kind::kGlobal:
      return fmt::format("{}.{}", value->module, value->text);
    case Kind::kCall: {
      const bool is_array = value->callable->text == "_reconstruct";
      return is_array ? "numpy.ndarray" : type_name(value->callable);
    }
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
  charge(path, path.size() + 1);
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
      add_tensor(path, torch::empty({0}, id.dtype).set_(std::move(storage), 0, {id.numel}, {1}));
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

// The parts of a path, as pathlib keeps them.
std::string joined(const std::vector<PickleValue*>& parts) {
  std::string path;
  for (const auto* part : parts) {
    if (!path.empty() && path.back() != '/') path += '/';
    path += part->text.substr(0, 4096);
    if (path.size() > 4096) break;
  }
  return path;
}

void Flattener::visit_call(const PickleValue* call, const std::string& path, int depth) {
  const auto& arguments = call->argument->items;
  if (is_tensor_call(call)) {
    add_tensor(path, tensor_of(call, path));
  } else if (call->is_call_of("torch", "Size") && arguments.size() == 1) {
    visit(arguments[0], path, depth + 1);
  } else if (call->is_call_of("torch", "device") && !arguments.empty()) {
    add_scalar(path, std::string(arguments[0]->text));
  } else if (const auto scalar =
                 call->callable->text == "scalar" ? numpy_scalar(call) : std::nullopt) {
    add_scalar(path, *scalar);
  } else if (call->is_call_of("argparse", "Namespace") && call->state) {
    visit(call->state, path, depth + 1);
  } else if (call->callable->module == "pathlib") {
    add_scalar(path, joined(arguments));
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

// Parameter(tensor) is its tensor, and a tensor with Python attributes is built by (function,
// class, arguments, attributes).
std::pair<std::string_view, const PickleValue*> Flattener::unwrap(const PickleValue* call,
                                                                  const std::string& path) const {
  std::string_view function = call->callable->text;
  const PickleValue* argument = call->argument;
  for (int wraps = 0; wraps < 8; ++wraps) {
    if (function.substr(0, 15) == "_rebuild_tensor") return {function, argument};
    const auto& items = argument->items;
    if (function == "_rebuild_from_type_v2" && items.size() == 4 &&
        items[0]->kind == Kind::kGlobal && items[2]->kind == Kind::kTuple) {
      function = items[0]->text;
      argument = items[2];
    } else if (function.substr(0, 18) == "_rebuild_parameter" && !items.empty() &&
               is_tensor_call(items[0])) {
      function = items[0]->callable->text;
      argument = items[0]->argument;
    } else {
      break;
    }
  }
  throw fault(path, "damaged: a parameter without a tensor");
}

torch::Tensor Flattener::tensor_of(const PickleValue* call, const std::string& path) {
  if (const auto known = tensors_.find(call); known != tensors_.end()) return known->second;
  const auto [function, argument] = unwrap(call, path);
  const auto& arguments = argument->items;
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
  if (function == "_rebuild_tensor_v3") {
    const auto named = arguments.size() > 6 && arguments[6]->kind == Kind::kGlobal
                           ? lookup(kNamedDtypes, arguments[6]->text)
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
    tensor = torch::empty({0}, dtype).set_(storage, offset, sizes, strides);
    if (dtype == torch::kBool) {
      const auto size = static_cast<int64_t>(storage.nbytes());
      const auto bytes = torch::empty({0}, torch::kUInt8).set_(storage, 0, {size}, {1});
      normalise_bools(bytes.data_ptr<uint8_t>(), storage.nbytes());
    }
  }
  return tensors_.emplace(call, tensor).first->second;
}

}  // namespace

PthFile flatten_pickle(const PickleValue* root,
                       const std::string& name,
                       size_t pickle_bytes,
                       const StorageSource& storages) {
  return Flattener(name, pickle_bytes, storages).flatten(root);
}

}  // namespace uvic::formats
