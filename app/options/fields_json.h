// The options of a struct as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "base/field.h"

namespace uvic::app {

/// Every leaf by its dotted name: {"model.depth": 12, ...}.
nlohmann::json leaves_json(const std::vector<base::Leaf>& leaves);
template <class Config>
nlohmann::json fields_json(Config config) {
  return leaves_json(base::leaves_of(config));
}

/// The structs inside as objects inside: {"model": {"depth": 12, ...}, ...}.
nlohmann::json nested_leaves_json(const std::vector<base::Leaf>& leaves);
template <class Config>
nlohmann::json nested_fields_json(Config config) {
  return nested_leaves_json(base::leaves_of(config));
}

}  // namespace uvic::app
