// The options of a struct as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/field.h"

namespace uvic::app {

/// Every leaf by its dotted name: {"model.depth": 12, ...}.
template <class Config>
nlohmann::json fields_json(Config config) {
  auto fields = nlohmann::json::object();
  base::visit_leaves(config, [&](const std::string& name, auto& value, const base::Field&) {
    fields[name] = value;
  });
  return fields;
}

}  // namespace uvic::app
