// Python pickles, protocols 2 to 5, turned into plain values. Nothing is ever imported or called: a
// call becomes a value that names the callable and its arguments. Globals that the caller's rule
// does not allow end the reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace uvic::formats {

/// One Python object. Texts and bytes are views into the pickle.
struct PickleValue {
  enum class Kind {
    kNone,
    kBool,        ///< integer
    kInt,         ///< integer
    kLong,        ///< beyond 64 bits: text holds its little-endian bytes
    kFloat,       ///< real
    kString,      ///< text, UTF-8
    kBytes,       ///< text
    kList,        ///< items
    kTuple,       ///< items
    kSet,         ///< items
    kDict,        ///< items: key, value, key, value, ...; dict, OrderedDict and defaultdict
    kGlobal,      ///< module, text
    kPersistent,  ///< argument: what the writer's persistent_id() gave
    kCall         ///< callable(*argument); __setstate__(state) and items if there are any
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;
  double real = 0;
  std::string_view text, module;
  std::vector<PickleValue*> items;
  PickleValue* callable = nullptr;
  PickleValue* argument = nullptr;
  PickleValue* state = nullptr;

  bool is_call_of(std::string_view module_name, std::string_view name) const {
    return kind == Kind::kCall && callable->module == module_name && callable->text == name;
  }
};

/// Interprets pickles that follow one another. The values live as long as the reader, and
/// refer to `bytes`.
class PickleReader {
 public:
  using IsAllowed = bool (*)(std::string_view module, std::string_view name);

  /// `name` is used in messages.
  PickleReader(std::string_view bytes, std::string name, IsAllowed is_allowed);

  /// The next pickle. Throws std::runtime_error that names the refused opcode or global, or the
  /// damage.
  const PickleValue* read();

  size_t position() const { return at_; }  ///< byte after the last pickle

  /// Every persistent id met so far, in order.
  const std::vector<PickleValue*>& persistent() const { return persistent_; }

 private:
  std::runtime_error fault(const std::string& text) const;
  std::string_view take(uint64_t size);
  std::string_view take_line();
  template <class T>
  T number();

  PickleValue* make(PickleValue::Kind kind);
  PickleValue* make_text(PickleValue::Kind kind, std::string_view text);
  PickleValue* make_int(int64_t value);
  PickleValue* make_long(std::string_view little_endian);
  void push(PickleValue* value) { stack_.push_back(value); }
  PickleValue* pop();
  PickleValue* top();
  std::vector<PickleValue*> pop_to_mark();
  void extend(PickleValue* target, const std::vector<PickleValue*>& items);
  void memoize(uint64_t index);
  void recall(uint64_t index);
  PickleValue* make_global(std::string_view module, std::string_view name);
  void call();
  void call_with_names();
  bool step(uint8_t opcode);  // false at the pickle's end

  std::string_view bytes_;
  std::string name_;
  IsAllowed is_allowed_;
  size_t at_ = 0;
  std::deque<PickleValue> values_;
  std::vector<PickleValue*> stack_, persistent_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, PickleValue*> memo_;
  uint64_t copied_ = 0;  // items copied by calls such as OrderedDict(list)
};

}  // namespace uvic::formats
