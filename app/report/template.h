// A page's template and the data that fills it, apart from each other: the part of Mustache that
// reports need.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace uvic::app {

/// Fills `{{name}}` (escaped for HTML), `{{{name}}}` (as it is), `{{#name}} ... {{/name}}` (once
/// for each element of an array; once for an object or any other value that is neither false, null
/// nor empty) and `{{^name}} ... {{/name}}` (the opposite). `{{.}}` is the element itself. A name
/// is looked up from the innermost section outwards; an unknown one is an error, so that a page
/// never silently lacks something. Throws std::runtime_error on unknown names and sections that
/// don't match. See mustache(5).
std::string render_template(const std::string& text, const nlohmann::json& data);

}  // namespace uvic::app
