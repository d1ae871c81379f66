// The pages that the program writes: each one file, in one style, without network access.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "data/formats/image_file.h"

namespace uvic::app {

/// The page of the template assets/`name` with the values of `view` (template.h). All templates may
/// also use {{{page_style}}} and {{{page_script}}}: assets/page.css, and assets/page.js, which
/// switches between light and dark. Throws what render_template() and asset() throw.
std::string render_page(const std::string& name, nlohmann::json view);

/// The image as a PNG inside the page: "data:image/png;base64,...".
std::string data_uri(const formats::Image& image);

}  // namespace uvic::app
