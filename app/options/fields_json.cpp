#include "app/options/fields_json.h"

#include <algorithm>
#include <string>
#include <variant>

namespace uvic::app {

nlohmann::json leaves_json(const std::vector<base::Leaf>& leaves) {
  auto fields = nlohmann::json::object();
  for (const auto& leaf : leaves)
    std::visit([&](const auto* value) { fields[leaf.name] = *value; }, leaf.value);
  return fields;
}

nlohmann::json nested_leaves_json(const std::vector<base::Leaf>& leaves) {
  auto fields = nlohmann::json::object();
  for (const auto& leaf : leaves) {
    auto pointer = "/" + leaf.name;
    std::replace(pointer.begin(), pointer.end(), '.', '/');
    std::visit([&](const auto* value) { fields[nlohmann::json::json_pointer(pointer)] = *value; },
               leaf.value);
  }
  return fields;
}

}  // namespace uvic::app
