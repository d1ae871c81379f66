// Templates for pages: a subset of Mustache.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace uvic::app {

/// Replaces the tags of `text` by values of `data`:
///
///   {{name}}                   the value, escaped for HTML
///   {{{name}}}                 the value, not escaped
///   {{#name}} ... {{/name}}    once for each element of an array; once for any other value that is
///                              neither false, null nor empty
///   {{^name}} ... {{/name}}    once if the section above is not rendered
///   {{.}}                      the current element
///
/// A name is searched from the innermost section outwards. Throws std::runtime_error for unknown
/// names, so that no part of a page is missing without an error, and for sections that do not
/// match. See mustache(5).
std::string render_template(const std::string& text, const nlohmann::json& data);

}  // namespace uvic::app
