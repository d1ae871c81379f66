#include "data/formats/torch_pickle_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "data/formats/file_error.h"
#include "data/formats/mapped_file.h"
#include "data/formats/torch_pickle_globals.h"
#include "data/formats/torch_pickle_scalars.h"

namespace uvic::formats {
namespace {

using Kind = PickleValue::Kind;

bool is_tensor_call(const PickleValue* value) {
  return value->kind == Kind::kCall &&
         (value->callable->module == "torch._utils" ||
          value->callable->module == "torch._tensor") &&
         is_plain_data(value->callable->module, value->callable->text);
}

/// Turns the values of a pickle into tensors and scalars by path.
class Flattener {
 public:
  Flattener(const std::string& name, size_t pickle_bytes, const StorageSource& storages)
      : name_(name), budget_(64 * uint64_t{pickle_bytes} + (1 << 20)), storages_(storages) {}

  PthFile flatten(const PickleValue* root) {
    visit(root, "", 0);
    check_size();
    return std::move(result_);
  }

 private:
  std::runtime_error fault(const std::string& path, const std::string& text) const {
    return file_error(name_, (path.empty() ? "its value" : path) + ": " + text);
  }

  // Nothing was copied yet: tensors are views of their storages.
  void check_size() const {
    constexpr uint64_t kTimes = 8, kAlways = uint64_t{64} << 20;
    uint64_t stored = 0;
    for (const auto& [key, storage] : loaded_) stored += storage.nbytes();
    if (tensor_bytes_ > kTimes * stored + kAlways)
      throw file_error(name_,
                       fmt::format("its tensors would take {} bytes, their storages hold {}; at "
                                   "most {} times as many and 64 MiB are read",
                                   tensor_bytes_,
                                   stored,
                                   kTimes));
  }

  // Containers may be in each other many times over, so that a small pickle could mean endlessly
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
  void search(const PickleValue* value, const std::string& path, int depth);
  void search_items(const PickleValue* value, const std::string& path, int depth);
  void pass_over(const PickleValue* value, const std::string& path, int depth);
  bool add_new_tensor(const std::string& path, torch::Tensor tensor) {
    const uint64_t bytes = tensor.nbytes();
    if (!result_.tensors.emplace(path, std::move(tensor)).second) return false;
    tensor_bytes_ += bytes;
    result_.order.push_back(path);
    return true;
  }
  void add_tensor(const std::string& path, torch::Tensor tensor) {
    if (!add_new_tensor(path, std::move(tensor))) throw fault(path, "is in it twice");
  }
  void add_scalar(const std::string& path, PthScalar scalar) {
    if (const auto* text = std::get_if<std::string>(&scalar)) charge(path, text->size());
    if (!result_.scalars.emplace(path, std::move(scalar)).second) {
      throw fault(path, "is in it twice");
    }
  }
  std::optional<std::string> key_text(const PickleValue* key) const;

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
  std::unordered_set<const PickleValue*> searched_;
  uint64_t tensor_bytes_ = 0;
  PthFile result_;
};

// Nothing where the key is no name: an object, a class.
std::optional<std::string> Flattener::key_text(const PickleValue* key) const {
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
      if (key->items.size() > 8) return std::nullopt;
      std::string text;
      for (const auto* part : key->items) {
        if (part->kind != Kind::kString && part->kind != Kind::kInt) return std::nullopt;
        text += (text.empty() ? "(" : ",") + *key_text(part);
      }
      return text + ")";
    }
    default:
      return std::nullopt;
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
    case Kind::kGlobal:
      if (!is_plain_data(value->module, value->text)) result_.foreign.insert(type_name(value));
      [[fallthrough]];
    case Kind::kBytes:
    case Kind::kLong:
      result_.others.emplace(path, type_name(value));
      return;
  }
}

std::string inside(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

// A value of a class that is no plain data.
void Flattener::pass_over(const PickleValue* value, const std::string& path, int depth) {
  const auto type = type_name(value);
  result_.others.emplace(path, type);
  const auto* callable = value->kind == Kind::kCall ? value->callable : value;
  if (!is_plain_data(callable->module, callable->text)) result_.foreign.insert(type);
  search(value, path, depth);
}

// Tensors inside objects that are passed over, each object once: they may refer to each other in
// circles.
void Flattener::search(const PickleValue* value, const std::string& path, int depth) {
  constexpr int kDeepest = 64;
  constexpr size_t kLongestPath = 1024;
  const bool is_leaf = value->items.empty() && value->kind != Kind::kCall;
  if (is_leaf || depth > kDeepest || path.size() > kLongestPath) return;
  if (!searched_.insert(value).second) return;
  charge(path, path.size() + 1);
  if (is_tensor_call(value)) {
    add_new_tensor(path, tensor_of(value, path));
    return;
  }
  if (value->kind == Kind::kCall) {
    search_items(value->argument, path, depth);
    if (value->state) search(value->state, path, depth + 1);
  }
  search_items(value, path, depth);
}

void Flattener::search_items(const PickleValue* value, const std::string& path, int depth) {
  const auto& items = value->items;
  // Items of a call are those of a subclass of list or of dict; what begins every pair decides.
  bool is_dict = value->kind == Kind::kDict || value->kind == Kind::kCall;
  is_dict = is_dict && items.size() % 2 == 0;
  for (size_t i = 0; is_dict && value->kind == Kind::kCall && i < items.size(); i += 2)
    is_dict = key_text(items[i]).has_value();
  for (size_t i = 0; i < items.size(); i += is_dict ? 2 : 1) {
    if (!is_dict) {
      search(items[i], inside(path, std::to_string(i)), depth + 1);
      continue;
    }
    const auto key = key_text(items[i]).value_or(type_name(items[i]));
    // A torch.nn.Module keeps its tensors in these; a state_dict does not name them.
    const bool is_layout = key == "_parameters" || key == "_buffers" || key == "_modules";
    search(items[i + 1], is_layout ? path : inside(path, key), depth + 1);
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
    const auto *key = dict->items[i], *value = dict->items[i + 1];
    if (const auto name = key_text(key)) {
      visit(value, inside(path, *name), depth + 1);
      continue;
    }
    // Under an object or a class, as older Lightning keeps its callbacks.
    pass_over(key, inside(path, type_name(key)), depth + 1);
    search(value, inside(path, type_name(key)), depth + 1);
  }
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
  } else if ((call->is_call_of("argparse", "Namespace") ||
              call->is_call_of("types", "SimpleNamespace")) &&
             call->state) {
    visit(call->state, path, depth + 1);
  } else if (call->callable->module.substr(0, 7) == "pathlib") {
    add_scalar(path, joined_path(arguments));
  } else {
    pass_over(call, path, depth);
  }
}

std::vector<int64_t> Flattener::sizes_of(const PickleValue* tuple, const std::string& path) const {
  if (tuple->is_call_of("torch", "Size") && !tuple->argument->items.empty()) {
    tuple = tuple->argument->items[0];
  }
  std::vector<int64_t> sizes;
  if ((tuple->kind != Kind::kTuple && tuple->kind != Kind::kList) || tuple->items.size() > 64) {
    throw fault(path, "damaged: its sizes or strides are not a tuple");
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
                           ? named_dtype(arguments[6]->text)
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
